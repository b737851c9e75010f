extern crate std;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::vec::Vec;

use super::*;

fn words(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

fn entry(number: u64) -> Entry {
    core::array::from_fn(|index| number * 8 + index as u64)
}

/// A small generator: what it gives depends on the seed alone (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[test]
fn as_many_entries_as_the_words_have_room_for() {
    for (count, capacity) in
        [(0, None), (31, None), (39, None), (40, Some(1)), (47, Some(1)), (48, Some(2)), (512, Some(32))]
    {
        let words = words(count);
        assert_eq!(Producer::new(&words).map(|p| p.capacity()), capacity, "{count}");
        assert_eq!(Consumer::new(&words).is_some(), capacity.is_some(), "{count}");
    }
}

#[test]
fn nothing_is_seen_before_it_is_published_and_no_room_before_it_is_released() {
    let words = words(HEADER_WORDS + 2 * ENTRY_WORDS);
    let (mut producer, mut consumer) = (Producer::new(&words).unwrap(), Consumer::new(&words).unwrap());
    assert_eq!((producer.put(&entry(1)), producer.put(&entry(2))), (Ok(()), Ok(())));
    assert_eq!(producer.put(&entry(3)), Err(PutError::Full));
    assert_eq!(consumer.take(), Ok(None));
    assert!(!producer.publish());
    assert_eq!((consumer.take(), consumer.take()), (Ok(Some(entry(1))), Ok(Some(entry(2)))));
    assert_eq!((consumer.take(), producer.put(&entry(3))), (Ok(None), Err(PutError::Full)));
    assert!(!consumer.release());
    assert_eq!(producer.put(&entry(3)), Ok(()));
    assert!(!producer.publish() && !producer.publish());
    assert_eq!(consumer.take(), Ok(Some(entry(3))));
}

#[test]
fn looking_for_room_or_an_entry_changes_nothing() {
    let words = words(HEADER_WORDS + ENTRY_WORDS);
    let (mut producer, mut consumer) = (Producer::new(&words).unwrap(), Consumer::new(&words).unwrap());
    for number in 0..3 {
        assert_eq!((producer.has_room(), consumer.has_entry()), (Ok(true), Ok(false)));
        producer.put(&entry(number)).unwrap();
        assert_eq!((producer.has_room(), consumer.has_entry()), (Ok(false), Ok(false)));
        assert!(!producer.publish());
        assert_eq!((consumer.has_entry(), consumer.has_entry()), (Ok(true), Ok(true)));
        assert_eq!(consumer.take(), Ok(Some(entry(number))));
        assert_eq!((producer.has_room(), consumer.has_entry()), (Ok(false), Ok(false)));
        assert!(!consumer.release());
    }
    words[PUT].store(1, Ordering::Relaxed);
    assert_eq!(consumer.has_entry(), Err(Nonsense));
    producer.put(&entry(3)).unwrap();
    words[TAKEN].store(9, Ordering::Relaxed);
    assert_eq!(producer.has_room(), Err(Nonsense));
}

#[test]
fn who_sleeps_is_woken_once_there_is_something_new() {
    let words = words(HEADER_WORDS + ENTRY_WORDS);
    let (mut producer, mut consumer) = (Producer::new(&words).unwrap(), Consumer::new(&words).unwrap());
    assert_eq!(consumer.sleeps(), Ok(true));
    assert!(!producer.publish(), "nothing is new");
    producer.put(&entry(1)).unwrap();
    assert!(producer.publish());
    assert!(!producer.publish(), "told already");
    assert_eq!(consumer.sleeps(), Ok(false), "there is an entry");
    consumer.wake();
    assert_eq!(producer.sleeps(), Ok(true));
    consumer.take().unwrap();
    assert!(consumer.release());
    assert_eq!(producer.sleeps(), Ok(false), "there is room");
    producer.wake();
    producer.put(&entry(2)).unwrap();
    assert!(!producer.publish(), "the consumer does not sleep");
}

/// Against a queue, by chance: in every order, across the wrap of the entries.
#[test]
fn is_a_queue() {
    for seed in 1..=50 {
        let mut random = Random(seed);
        let words = words(HEADER_WORDS + (1 << random.below(4)) * ENTRY_WORDS);
        let (mut producer, mut consumer) = (Producer::new(&words).unwrap(), Consumer::new(&words).unwrap());
        let capacity = producer.capacity() as usize;
        let (mut hidden, mut shown, mut held) = (VecDeque::new(), VecDeque::new(), 0);
        for number in 0..2000 {
            match random.below(4) {
                0 => {
                    let is_full = hidden.len() + shown.len() + held == capacity;
                    let expected = if is_full { Err(PutError::Full) } else { Ok(()) };
                    assert_eq!(producer.put(&entry(number)), expected, "seed {seed}, {number}");
                    if !is_full {
                        hidden.push_back(number);
                    }
                }
                1 => {
                    let _ = producer.publish();
                    shown.append(&mut hidden);
                }
                2 => {
                    let expected = shown.pop_front();
                    assert_eq!(consumer.take(), Ok(expected.map(entry)), "seed {seed}, {number}");
                    held += usize::from(expected.is_some());
                }
                _ => {
                    let _ = consumer.release();
                    held = 0;
                }
            }
        }
    }
}

/// Counts that are not possible: too far ahead, behind what was said before, behind what was taken.
#[test]
fn a_producer_that_talks_nonsense_is_found_out() {
    for (first, second) in [(5, None), (u64::MAX, None), (1 << 63, None), (3, Some(2)), (3, Some(8))] {
        let words = words(HEADER_WORDS + 4 * ENTRY_WORDS);
        let mut consumer = Consumer::new(&words).unwrap();
        words[PUT].store(first, Ordering::SeqCst);
        if let Some(second) = second {
            for _ in 0..3 {
                assert!(consumer.take().unwrap().is_some());
            }
            words[PUT].store(second, Ordering::SeqCst);
        }
        assert_eq!(consumer.take(), Err(Nonsense), "{first}, {second:?}");
        assert_eq!(consumer.sleeps(), Err(Nonsense), "{first}, {second:?}");
    }
}

/// Though the count that it goes back to is one that would be possible.
#[test]
fn who_goes_back_is_found_out() {
    let words = words(HEADER_WORDS + 4 * ENTRY_WORDS);
    let mut consumer = Consumer::new(&words).unwrap();
    words[PUT].store(3, Ordering::SeqCst);
    assert!(consumer.take().unwrap().is_some());
    words[PUT].store(2, Ordering::SeqCst);
    assert_eq!(consumer.sleeps(), Err(Nonsense));
    let mut producer = Producer::new(&words).unwrap();
    (0..4).for_each(|number| assert_eq!(producer.put(&entry(number)), Ok(())));
    words[TAKEN].store(3, Ordering::SeqCst);
    assert_eq!(producer.sleeps(), Ok(false));
    words[TAKEN].store(2, Ordering::SeqCst);
    assert_eq!(producer.sleeps(), Err(Nonsense));
}

#[test]
fn a_consumer_that_talks_nonsense_is_found_out() {
    for (first, second) in [(3, None), (u64::MAX, None), (1 << 63, None), (2, Some(1))] {
        let words = words(HEADER_WORDS + 2 * ENTRY_WORDS);
        let mut producer = Producer::new(&words).unwrap();
        assert_eq!((producer.put(&entry(1)), producer.put(&entry(2))), (Ok(()), Ok(())));
        words[TAKEN].store(first, Ordering::SeqCst);
        if let Some(second) = second {
            assert_eq!((producer.put(&entry(3)), producer.put(&entry(4))), (Ok(()), Ok(())));
            words[TAKEN].store(second, Ordering::SeqCst);
        }
        assert_eq!(producer.put(&entry(5)), Err(PutError::Nonsense), "{first}, {second:?}");
        assert_eq!(producer.sleeps(), Err(Nonsense), "{first}, {second:?}");
    }
}

/// More entries than there are places are not taken before those taken are released: a producer that says so
/// would have the consumer work for ever.
#[test]
fn what_is_taken_at_a_time_is_bounded() {
    let words = words(HEADER_WORDS + 4 * ENTRY_WORDS);
    let mut consumer = Consumer::new(&words).unwrap();
    let taken = (1..)
        .take_while(|count| {
            words[PUT].store(*count, Ordering::SeqCst);
            matches!(consumer.take(), Ok(Some(_)))
        })
        .count();
    assert_eq!(taken, 4);
}

/// Each side against words by chance: it gets on with its work, or finds nonsense, and stops within bounds.
#[test]
fn words_by_chance_do_no_harm() {
    for seed in 1..=2000 {
        let mut random = Random(seed);
        let words = words(HEADER_WORDS + 4 * ENTRY_WORDS + random.below(20) as usize);
        let (mut producer, mut consumer) = (Producer::new(&words).unwrap(), Consumer::new(&words).unwrap());
        for _ in 0..100 {
            let index = random.below(words.len() as u64) as usize;
            let value = match random.below(3) {
                0 => random.next(),
                1 => random.below(8),
                _ => words[index].load(Ordering::Relaxed).wrapping_add(random.below(3)),
            };
            words[index].store(value, Ordering::Relaxed);
            match random.below(4) {
                0 => drop(producer.put(&entry(1))),
                1 => drop(consumer.take()),
                2 => drop((producer.publish(), producer.sleeps())),
                _ => drop((consumer.release(), consumer.sleeps())),
            }
            assert!(producer.put.wrapping_sub(producer.taken) <= 4, "seed {seed}");
            assert!(consumer.put.wrapping_sub(consumer.taken) <= 4, "seed {seed}");
        }
    }
}

/// Two threads that sleep wherever they may: every entry comes, in order, and nobody sleeps for ever.
#[test]
fn no_wake_up_is_lost_between_two_threads() {
    const ENTRIES: u64 = if cfg!(miri) { 300 } else { 8_000 };
    let words = words(HEADER_WORDS + 4 * ENTRY_WORDS);
    let bells = [AtomicBool::new(false), AtomicBool::new(false)];
    let ring = |bell: usize| bells[bell].store(true, Ordering::SeqCst);
    let wait = |bell: usize| {
        while !bells[bell].swap(false, Ordering::SeqCst) {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut producer = Producer::new(&words).unwrap();
            for number in 0..ENTRIES {
                while producer.put(&entry(number)).is_err() {
                    if producer.publish() {
                        ring(1);
                    }
                    if producer.sleeps().unwrap() {
                        wait(0);
                    }
                    producer.wake();
                }
                if number % 3 == 0 && producer.publish() {
                    ring(1);
                }
            }
            if producer.publish() {
                ring(1);
            }
        });
        let mut consumer = Consumer::new(&words).unwrap();
        for number in 0..ENTRIES {
            let found = loop {
                if let Some(found) = consumer.take().unwrap() {
                    break found;
                }
                if consumer.release() {
                    ring(0);
                }
                if consumer.sleeps().unwrap() {
                    wait(1);
                }
                consumer.wake();
            };
            assert_eq!(found, entry(number));
        }
    });
}
