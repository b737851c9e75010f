//! Memory that outlives the process and that nobody else may touch: init keeps it (`shared` in `init.conf`).
//! Its first page is [`Kept`]'s; a state that is on no disk lies behind it.
//!
//! | bytes of a slot | what |
//! |---|---|
//! | 8 | the snapshot's length and one; 0: it was never written |
//! | the snapshot's | the snapshot |
//!
//! A process that ends while it writes leaves a slot that the engine finds damaged, beside a whole one.

use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use tpm2_engine::{PlatformError, Storage};

use crate::area::SLOT_BYTES;
use crate::kept::Kept;

/// Bytes in front of the slots.
const KEPT_BYTES: u64 = 4096;
/// Bytes that the memory must have for a state.
pub const STATE_BYTES: u64 = KEPT_BYTES + 2 * SLOT_BYTES;
/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// The memory, and in which life of the machine this process is.
#[derive(Clone, Copy, Debug)]
pub struct Lasting<'a> {
    /// The memory.
    pub words: &'a [AtomicU64],
    /// From 1: each reset of the guest's begins another.
    pub life: u64,
}

impl<'a> Lasting<'a> {
    /// What is known of the TPM before.
    pub const fn kept(&self) -> Kept<'a> {
        Kept(self.words)
    }

    /// The slots of a state. None, if the memory has less than [`STATE_BYTES`].
    pub fn slots(&self) -> Option<Slots<'a>> {
        let words = self.words.get(KEPT_BYTES as usize / WORD..STATE_BYTES as usize / WORD)?;
        let (first, second) = words.split_at_checked(SLOT_BYTES as usize / WORD)?;
        Some(Slots([first, second]))
    }
}

/// Two slots in that memory.
#[derive(Debug)]
pub struct Slots<'a>([&'a [AtomicU64]; 2]);

impl Slots<'_> {
    fn slot(&self, slot: usize) -> Result<(&AtomicU64, &[AtomicU64]), PlatformError> {
        self.0.get(slot).and_then(|words| words.split_first()).ok_or(PlatformError)
    }
}

/// The words of a snapshot, with zeroes behind its last byte.
fn words_of(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks(WORD).map(|piece| {
        let mut word = [0; WORD];
        word.iter_mut().zip(piece).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(word)
    })
}

impl Storage for Slots<'_> {
    fn read(&mut self, slot: usize) -> Result<Vec<u8>, PlatformError> {
        let (length, words) = self.slot(slot)?;
        let Some(length) = length.load(Ordering::Acquire).checked_sub(1) else { return Ok(Vec::new()) };
        // What is no slot is no snapshot either, and not nothing: the engine shall find it damaged.
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= words.len() * WORD) else {
            return Ok(vec![0]);
        };
        let words = words.iter().take(length.div_ceil(WORD));
        let mut bytes: Vec<u8> = words.flat_map(|word| word.load(Ordering::Acquire).to_le_bytes()).collect();
        bytes.truncate(length);
        Ok(bytes)
    }

    fn write(&mut self, slot: usize, bytes: &[u8]) -> Result<(), PlatformError> {
        let (length, words) = self.slot(slot)?;
        if bytes.len() > words.len() * WORD {
            return Err(PlatformError);
        }
        let before = usize::try_from(length.load(Ordering::Acquire)).unwrap_or(usize::MAX);
        // First: a slot of which nothing but the length was written is not one that was never written.
        length.store(bytes.len() as u64 + 1, Ordering::Release);
        // What was longer before ends in zeroes: no key that is gone from the state stays behind it.
        let all = words_of(bytes).chain(core::iter::repeat(0));
        let count = before.max(bytes.len()).div_ceil(WORD);
        words.iter().zip(all).take(count).for_each(|(word, value)| word.store(value, Ordering::Release));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: u64) -> Vec<AtomicU64> {
        (0..bytes as usize / WORD).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn slots_keep_what_is_written_and_nothing_else() {
        let words = memory(STATE_BYTES);
        let lasting = Lasting { words: &words, life: 1 };
        let mut slots = lasting.slots().unwrap();
        assert!(slots.read(0).unwrap().is_empty() && slots.read(1).unwrap().is_empty());
        slots.write(1, &[7; 21]).unwrap();
        slots.write(0, &[8; 3]).unwrap();
        // Another process's.
        let mut slots = lasting.slots().unwrap();
        assert_eq!((slots.read(0).unwrap(), slots.read(1).unwrap()), (vec![8; 3], vec![7; 21]));
        slots.write(1, &[9; 4]).unwrap();
        assert_eq!(slots.read(1).unwrap(), [9; 4]);
        let left = |value: &AtomicU64| value.load(Ordering::Relaxed).to_le_bytes().contains(&7);
        assert!(!words.iter().any(left), "something of the snapshot before");
        assert!(slots.read(2).is_err() && slots.write(2, &[]).is_err());
        let most = SLOT_BYTES as usize - WORD;
        slots.write(0, &vec![1; most]).unwrap();
        assert_eq!(slots.write(0, &vec![2; most + 1]), Err(PlatformError));
        assert_eq!((slots.read(0).unwrap(), slots.read(1).unwrap()), (vec![1; most], vec![9; 4]));
        // The first page is not theirs.
        assert!(words[..512].iter().all(|word| word.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn a_slot_that_is_none_is_not_nothing() {
        let words = memory(STATE_BYTES);
        let mut slots = Lasting { words: &words, life: 1 }.slots().unwrap();
        for length in [SLOT_BYTES, u64::MAX] {
            words[512].store(length, Ordering::Relaxed);
            assert_eq!(slots.read(0).unwrap(), [0]);
            slots.write(0, &[3; 9]).unwrap();
            assert_eq!(slots.read(0).unwrap(), [3; 9]);
        }
        let small = memory(STATE_BYTES - 4096);
        assert!(Lasting { words: &small, life: 1 }.slots().is_none());
    }
}
