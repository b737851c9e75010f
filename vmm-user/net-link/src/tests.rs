extern crate std;

use std::sync::atomic::{AtomicU64, Ordering};
use std::vec;
use std::vec::Vec;

use super::*;

fn memory() -> Vec<AtomicU64> {
    (0..MEMORY_BYTES / 8).map(|_| AtomicU64::new(0)).collect()
}

/// A frame with a number, of a size that depends on it.
fn frame(number: usize) -> Vec<u8> {
    (0..1 + number * 37 % SLOT_BYTES).map(|at| (at * 7 + number) as u8).collect()
}

fn send(sender: &mut Sender<'_>, bytes: &[u8]) -> bool {
    let Some(slot) = sender.room().unwrap() else { return false };
    write_bytes(slot, bytes);
    sender.put(bytes.len()).unwrap();
    true
}

fn receive(receiver: &mut Receiver<'_>) -> Option<Vec<u8>> {
    let frame = receiver.take().unwrap()?;
    let mut bytes = vec![0; frame.bytes];
    read_bytes(frame.words, &mut bytes);
    Some(bytes)
}

#[test]
fn frames_cross_both_ways_in_order() {
    let memory = memory();
    let (mut to_server, mut from_server) = Sender::of_client(&memory).unwrap();
    let (mut to_client, mut from_client) = Sender::of_server(&memory).unwrap();
    for number in 0..5 * FRAMES {
        assert!(send(&mut to_server, &frame(number)) && send(&mut to_client, &frame(number + 1)));
        assert_eq!(receive(&mut from_client), None, "nothing is seen before it is published");
        let _ = (to_server.publish(), to_client.publish());
        assert_eq!(receive(&mut from_client), Some(frame(number)));
        assert_eq!(receive(&mut from_server), Some(frame(number + 1)));
        let _ = (from_client.release(), from_server.release());
    }
}

#[test]
fn a_slot_is_used_again_only_when_its_frame_was_released() {
    let memory = memory();
    let (mut sender, _) = Sender::of_client(&memory).unwrap();
    let (_, mut receiver) = Sender::of_server(&memory).unwrap();
    for number in 0..FRAMES {
        assert!(send(&mut sender, &frame(number)));
    }
    assert!(!sender.publish() && sender.room().unwrap().is_none());
    assert_eq!(receive(&mut receiver), Some(frame(0)));
    assert!(sender.room().unwrap().is_none(), "taken, but not released");
    assert!(receiver.release(), "the sender waits for that");
    assert!(send(&mut sender, &frame(FRAMES)));
    let _ = sender.publish();
    for number in 1..=FRAMES {
        assert_eq!(receive(&mut receiver), Some(frame(number)));
    }
    assert!(!receiver.release(), "it does not wait any more");
}

#[test]
fn a_receiver_that_waits_is_signalled_once() {
    let memory = memory();
    let (mut sender, _) = Sender::of_client(&memory).unwrap();
    let (_, mut receiver) = Sender::of_server(&memory).unwrap();
    assert_eq!(receiver.has_frame(), Ok(false));
    assert!(send(&mut sender, &[1]));
    assert!(sender.publish());
    assert_eq!(receiver.has_frame(), Ok(true));
    assert!(send(&mut sender, &[2]));
    assert!(!sender.publish(), "it is awake");
    assert_eq!((receive(&mut receiver), receive(&mut receiver)), (Some(vec![1]), Some(vec![2])));
    assert_eq!(receiver.has_frame(), Ok(false));
}

#[test]
fn what_is_no_frame_is_not_sent_and_not_received() {
    let memory = memory();
    let (mut sender, _) = Sender::of_client(&memory).unwrap();
    assert_eq!([0, SLOT_BYTES + 1, usize::MAX].map(|bytes| sender.put(bytes)), [Ok(()); 3]);
    let _ = sender.publish();
    let (_, mut receiver) = Sender::of_server(&memory).unwrap();
    assert_eq!(receiver.has_frame(), Ok(false));
    for entry in [[0, 0], [SLOT_BYTES as u64 + 1, 0], [u64::MAX, 0], [1 << 32 | 60, 0], [60, 1]] {
        let memory = super::tests::memory();
        let (_, mut receiver) = Sender::of_server(&memory).unwrap();
        memory[HEADER_WORDS].store(entry[0], Ordering::Relaxed);
        memory[HEADER_WORDS + 7].store(entry[1], Ordering::Relaxed);
        memory[0].store(1, Ordering::Relaxed);
        assert_eq!(receiver.take().map(|frame| frame.is_some()), Err(Nonsense), "{entry:?}");
    }
}

#[test]
fn memory_that_is_too_small() {
    let memory = memory();
    assert!(Sender::of_client(&memory[1..]).is_none() && Sender::of_server(&[]).is_none());
    assert_eq!(memory.len() * 8, 2 * (20480 + 256 * 2048));
}

#[test]
fn replies_to_connect() {
    let address = [2, 0x50, 0x4c, 1, 2, 0xff];
    assert_eq!(address_from_words(&address_to_words(address)), Some(address));
    let mut refusal = address_to_words(address);
    refusal[0] = 1;
    assert_eq!(address_from_words(&refusal), None);
}

/// Whatever the other side writes, both ends give frames that can be, or an error, and come to an end.
#[test]
fn words_by_chance_do_no_harm() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut frames, mut refused) = (0, 0);
    for _ in 0..400 {
        let memory = memory();
        let (mut sender, mut receiver) = Sender::of_client(&memory).unwrap();
        // Half of what it does is what it should.
        let (mut peer, mut taker) = Sender::of_server(&memory).unwrap();
        for _ in 0..60 {
            if random() % 2 == 0 {
                let _ = peer.room().and_then(|_| peer.put(random() as usize % 3000));
                let _ = (peer.publish(), taker.take().map(|_| taker.release()));
            } else {
                let value = if random() % 2 == 0 { random() % 300 } else { random() };
                let place = match random() % 8 {
                    0 => [0, 8, 16, 24][random() as usize % 4],
                    _ => random() as usize % (SLOTS_AT / 8),
                };
                let way = random() as usize % 2 * WAY_BYTES / 8;
                memory[way + place].store(value, Ordering::Relaxed);
            }
            let sent = sender.room().and_then(|room| room.map_or(Ok(()), |_| sender.put(60)));
            let _ = (sender.publish(), receiver.release());
            let received = receiver.has_frame().and_then(|_| receiver.take());
            if let Ok(Some(frame)) = received {
                assert!((1..=SLOT_BYTES).contains(&frame.bytes) && frame.words.len() * 8 == SLOT_BYTES);
                frames += 1;
            }
            if sent.is_err() || received.is_err() {
                refused += 1;
                break;
            }
        }
    }
    assert!(frames > 100 && refused > 100, "{frames} frames, {refused} refused");
}
