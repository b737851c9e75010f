//! The host's random numbers beside the processor's.
//!
//! The host is not trusted, so its numbers are never given to anybody by themselves: they are the key of a
//! stream, SHA-256 of the key and a count, which the processor's numbers are combined with by XOR. The host
//! gives them without having seen the processor's, so the result is no more predictable than those are,
//! whatever the host gives; and it is no more predictable than the host's, should the processor's be weak.
//! Without the processor's numbers there are none.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use entropy_link::BYTES;
use runtime::abi::status::Status;
use runtime::channel::Channel;
use runtime::event::Event;
use runtime::{syscall, thread};
use sha2::{Digest, Sha256};
use virtio_devices::rng::Entropy;

/// How many seconds a request may take.
const REQUEST_SECONDS: u64 = 30;
/// How many seconds lie between two requests: after one that was answered, and after another.
const PAUSES_SECONDS: [u64; 2] = [60, 1];
/// The priority of the thread that asks, that of vCPUs.
const PRIORITY: u32 = 1;

/// What the host's numbers are made into.
#[derive(Debug, Default)]
pub struct Stream {
    /// `None`: the host has given nothing.
    key: Option<[u8; 32]>,
    count: u64,
}

impl Stream {
    /// Takes numbers of the host's, besides those of before.
    pub fn absorb(&mut self, numbers: &[u8; BYTES]) {
        let before = self.key.unwrap_or_default();
        self.key = Some(Sha256::new().chain_update(before).chain_update(numbers).finalize().into());
    }

    /// Combines bytes with the next ones of the stream; leaves them as they are while there is none.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let Some(key) = &self.key else { return };
        for part in bytes.chunks_mut(32) {
            let block = Sha256::new().chain_update(key).chain_update(self.count.to_le_bytes()).finalize();
            part.iter_mut().zip(block).for_each(|(byte, other)| *byte ^= other);
            self.count = self.count.wrapping_add(1);
        }
    }
}

/// The last numbers that the host has given, from the thread that asks for them to the device. Numbers of two
/// replies may be read as one: they are numbers all the same.
#[derive(Debug, Default)]
pub struct Seeds {
    words: [AtomicU64; BYTES / 8],
    /// How many there were.
    count: AtomicU64,
}

impl Seeds {
    /// Replaces them.
    fn put(&self, numbers: &[u8; BYTES]) {
        let (eights, _) = numbers.as_chunks::<8>();
        for (word, eight) in self.words.iter().zip(eights) {
            word.store(u64::from_le_bytes(*eight), Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Those that came since `seen` of them were there, if any did.
    fn newer(&self, seen: &mut u64) -> Option<[u8; BYTES]> {
        let count = self.count.load(Ordering::Acquire);
        if core::mem::replace(seen, count) == count {
            return None;
        }
        let mut numbers = [0; BYTES];
        let (eights, _) = numbers.as_chunks_mut::<8>();
        for (eight, word) in eights.iter_mut().zip(&self.words) {
            *eight = word.load(Ordering::Relaxed).to_le_bytes();
        }
        Some(numbers)
    }
}

/// Asks the process at the other end of a channel for numbers, now and then, on a thread of its own. So no
/// vCPU waits for the host, and until it has answered there are the processor's numbers alone.
///
/// # Errors
/// The kernel's.
pub fn start(channel: Channel, tsc_hz: u64) -> Result<&'static Seeds, Status> {
    // For as long as the process lives: so do the device and the thread.
    let seeds: &'static Seeds = Box::leak(Box::default());
    let pause = Event::try_new()?;
    let later = move |seconds: u64| syscall::tsc().saturating_add(tsc_hz.saturating_mul(seconds));
    thread::spawn(0, PRIORITY, move || {
        let mut is_first = true;
        loop {
            let numbers = entropy_link::ask(channel, later(REQUEST_SECONDS));
            if let Ok(numbers) = &numbers {
                seeds.put(numbers);
                if core::mem::take(&mut is_first) {
                    log::info!("the host's entropy is mixed in");
                }
            }
            let [after_reply, after_none] = PAUSES_SECONDS;
            let seconds = if numbers.is_ok() { after_reply } else { after_none };
            // Nobody signals it: it is the time that passes.
            let _ = pause.wait_until(later(seconds));
        }
    })?;
    Ok(seeds)
}

/// The processor's numbers, with the host's mixed in.
pub struct Mixed<E> {
    numbers: E,
    seeds: &'static Seeds,
    seen: u64,
    stream: Stream,
}

impl<E> Mixed<E> {
    /// Of a source that is trusted, and one that is not.
    pub fn new(numbers: E, seeds: &'static Seeds) -> Self {
        Self { numbers, seeds, seen: 0, stream: Stream::default() }
    }
}

impl<E: Entropy> Entropy for Mixed<E> {
    fn fill(&mut self, bytes: &mut [u8]) -> usize {
        if let Some(numbers) = self.seeds.newer(&mut self.seen) {
            self.stream.absorb(&numbers);
        }
        let filled = self.numbers.fill(bytes).min(bytes.len());
        // Of those alone that the processor has filled.
        self.stream.apply(bytes.get_mut(..filled).unwrap_or_default());
        filled
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    /// So many bytes, all the same.
    struct Weak(usize);

    impl Entropy for Weak {
        fn fill(&mut self, bytes: &mut [u8]) -> usize {
            let count = self.0.min(bytes.len());
            bytes.iter_mut().take(count).for_each(|byte| *byte = 0x55);
            count
        }
    }

    fn mixed(bytes: usize) -> (Mixed<Weak>, &'static Seeds) {
        let seeds: &'static Seeds = Box::leak(Box::default());
        (Mixed::new(Weak(bytes), seeds), seeds)
    }

    fn fill(source: &mut impl Entropy, bytes: usize) -> Vec<u8> {
        let mut buffer = vec![0; bytes];
        assert_eq!(source.fill(&mut buffer), bytes);
        buffer
    }

    #[test]
    fn without_the_host_numbers_are_the_processors() {
        let (mut source, _) = mixed(100);
        assert_eq!(fill(&mut source, 100), [0x55; 100]);
    }

    #[test]
    fn the_hosts_change_all_that_comes_behind_them() {
        let (mut source, seeds) = mixed(100);
        seeds.put(&[0; BYTES]);
        let (first, second) = (fill(&mut source, 100), fill(&mut source, 100));
        for parts in [&first, &second].map(|bytes| bytes.chunks(4).collect::<Vec<_>>()) {
            assert!(parts.iter().all(|part| *part != [0x55; 4]), "each part is another");
        }
        assert_ne!(first, second);
        // The same numbers once more are more.
        seeds.put(&[0; BYTES]);
        let third = fill(&mut source, 100);
        let (mut other, seeds) = mixed(100);
        seeds.put(&[0; BYTES]);
        assert_eq!(fill(&mut other, 100), first, "by nothing else");
        assert_eq!(fill(&mut other, 100), second);
        assert_ne!(fill(&mut other, 100), third);
    }

    #[test]
    fn the_hosts_numbers_are_never_alone() {
        let (mut source, seeds) = mixed(7);
        seeds.put(&[3; BYTES]);
        let mut bytes = [0; 64];
        assert_eq!(source.fill(&mut bytes), 7);
        assert_eq!(bytes[7..], [0; 57]);
        let (mut none, seeds) = mixed(0);
        seeds.put(&[3; BYTES]);
        assert_eq!((none.fill(&mut bytes), bytes[7]), (0, 0));
    }

    #[test]
    fn numbers_are_combined_by_xor() {
        let mut stream = Stream::default();
        stream.absorb(&[9; BYTES]);
        let mut bytes = [0u8; 40];
        stream.apply(&mut bytes);
        let key = Sha256::new().chain_update([0; 32]).chain_update([9; BYTES]).finalize();
        let block = |count: u64| Sha256::new().chain_update(key).chain_update(count.to_le_bytes()).finalize();
        assert_eq!(bytes[..32], block(0)[..]);
        assert_eq!(bytes[32..], block(1)[..8]);
    }
}
