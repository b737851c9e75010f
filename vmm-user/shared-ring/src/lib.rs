//! Batches of operations in memory that two processes share: what one puts into a ring, the other takes out,
//! and neither enters the kernel for it but to wake the other where it sleeps. So the work of many exits
//! costs one entry.
//!
//! A ring goes one way. It has a [`Producer`] in one process and a [`Consumer`] in the other, over the same
//! words; whoever wants replies has a second ring for them. An entry is eight words, as an operation of the
//! kernel's ABI is, and means what the two have agreed on.
//!
//! | word | |
//! |---|---|
//! | 0 | how many entries were ever put in; the producer writes it |
//! | 8 | how many were ever taken out; the consumer writes it |
//! | 16 | 1: the consumer sleeps, and wants to be woken for an entry; it writes both values |
//! | 24 | 1: the producer sleeps, and wants to be woken for room; it writes both values |
//! | 32 | the entries, eight words each; entry `n` lies at `n` modulo their number, a power of two |
//!
//! **Neither side believes the other**, which may write any of these words at any time. Each keeps its own
//! count for itself and never reads it back; how many entries fit it knows from the size of its own mapping.
//! Of the other's count it takes one copy, and believes it only if it is one that is possible: else the other
//! talks [`Nonsense`], and the ring is not used any more. An entry is copied out, once, before it is looked
//! at. What a consumer does at a time is bounded by the ring's size, whatever the producer writes.
//!
//! **No wake-up is lost.** Who is about to sleep says so, then looks once more; who has changed a count looks
//! afterwards whether the other sleeps. Both are sequentially consistent, so one of them sees the other.
#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

/// Words of an entry.
pub const ENTRY_WORDS: usize = 8;
/// The words before the first entry.
pub const HEADER_WORDS: usize = 32;

// 64 bytes apart, so that the two sides write no cache line in common.
const PUT: usize = 0;
const TAKEN: usize = 8;
const CONSUMER_SLEEPS: usize = 16;
const PRODUCER_SLEEPS: usize = 24;

/// An entry.
pub type Entry = [u64; ENTRY_WORDS];

/// The other side has written a count that is not possible: it has been taken over, or is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonsense;

/// Why an entry cannot be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutError {
    /// There is no room until the consumer has taken one out.
    Full,
    /// The consumer talks nonsense.
    Nonsense,
}

/// The words, and how many entries there are.
#[derive(Clone, Copy)]
struct Ring<'a> {
    header: &'a [AtomicU64],
    entries: &'a [AtomicU64],
    /// A power of two.
    capacity: u64,
}

impl<'a> Ring<'a> {
    fn new(words: &'a [AtomicU64]) -> Option<Self> {
        let (header, entries) = words.split_at_checked(HEADER_WORDS)?;
        // A power of two, so that an entry's place is right also where the counts wrap.
        let capacity = 1 << (entries.len() / ENTRY_WORDS).checked_ilog2()?;
        Some(Self { header, entries, capacity })
    }

    /// A word of the header; all that are asked for are there.
    fn word(&self, index: usize) -> Option<&'a AtomicU64> {
        self.header.get(index)
    }

    fn load(&self, index: usize, order: core::sync::atomic::Ordering) -> u64 {
        self.word(index).map_or(0, |word| word.load(order))
    }

    fn store(&self, index: usize, value: u64, order: core::sync::atomic::Ordering) {
        if let Some(word) = self.word(index) {
            word.store(value, order);
        }
    }

    /// The words of the entry with a number.
    fn entry(&self, number: u64) -> impl Iterator<Item = &'a AtomicU64> {
        let first = (number & (self.capacity - 1)) as usize * ENTRY_WORDS;
        self.entries.iter().skip(first).take(ENTRY_WORDS)
    }

    /// How many entries are in the ring, by both counts, if these are possible.
    fn filled(&self, put: u64, taken: u64) -> Result<u64, Nonsense> {
        let filled = put.wrapping_sub(taken);
        if filled <= self.capacity { Ok(filled) } else { Err(Nonsense) }
    }
}

/// The side that puts entries in. There is one of a ring.
pub struct Producer<'a> {
    ring: Ring<'a>,
    put: u64,
    /// As last read; entries behind it are the consumer's.
    taken: u64,
    /// How many of `put` the consumer was told of.
    told: u64,
}

/// The side that takes entries out. There is one of a ring.
pub struct Consumer<'a> {
    ring: Ring<'a>,
    /// As last read.
    put: u64,
    taken: u64,
    told: u64,
}

impl<'a> Producer<'a> {
    /// The producer of a ring over words that were all zero and that nobody has used yet. `None`: there is no
    /// room for an entry.
    pub fn new(words: &'a [AtomicU64]) -> Option<Self> {
        Some(Self { ring: Ring::new(words)?, put: 0, taken: 0, told: 0 })
    }

    /// How many entries fit.
    pub fn capacity(&self) -> u64 {
        self.ring.capacity
    }

    /// Looks how many entries the consumer has taken out. Its count never goes back.
    fn look(&mut self) -> Result<(), Nonsense> {
        let taken = self.ring.load(TAKEN, Acquire);
        let outstanding = self.ring.filled(self.put, taken)?;
        // Only more than before can have been taken: believed, a count that goes back would take room away
        // again.
        if outstanding > self.ring.filled(self.put, self.taken)? {
            return Err(Nonsense);
        }
        self.taken = taken;
        Ok(())
    }

    /// Whether there is room for an entry.
    ///
    /// # Errors
    /// What the consumer says is not possible.
    pub fn has_room(&mut self) -> Result<bool, Nonsense> {
        // The consumer's count is read only when the last copy says that the ring is full: a read may have to
        // fetch the cache line from another processor.
        if self.put.wrapping_sub(self.taken) >= self.ring.capacity {
            self.look()?;
        }
        Ok(self.put.wrapping_sub(self.taken) < self.ring.capacity)
    }

    /// Puts an entry in. The consumer sees it after [`Self::publish`].
    ///
    /// # Errors
    /// Full, or what the consumer says is not possible.
    pub fn put(&mut self, entry: &Entry) -> Result<(), PutError> {
        if !self.has_room().map_err(|Nonsense| PutError::Nonsense)? {
            return Err(PutError::Full);
        }
        // In any order: the consumer reads them only behind the count, which `publish` stores after them.
        self.ring.entry(self.put).zip(entry).for_each(|(word, value)| word.store(*value, Relaxed));
        self.put = self.put.wrapping_add(1);
        Ok(())
    }

    /// Shows the consumer all that was put in. Returns whether it sleeps and is to be woken.
    #[must_use]
    pub fn publish(&mut self) -> bool {
        if self.told == self.put {
            return false;
        }
        self.told = self.put;
        // Count first, then the flag. `sleeps` does it the other way round, so that one of the two sees the
        // other; were these two to change places, both could miss it and the consumer sleep for ever.
        self.ring.store(PUT, self.put, SeqCst);
        self.ring.load(CONSUMER_SLEEPS, SeqCst) == 1
    }

    /// Says that this side is about to sleep until there is room, and looks once more. Returns whether to
    /// sleep; [`Self::wake`] is said afterwards in any case.
    ///
    /// # Errors
    /// What the consumer says is not possible.
    pub fn sleeps(&mut self) -> Result<bool, Nonsense> {
        self.ring.store(PRODUCER_SLEEPS, 1, SeqCst);
        // The look is behind the store for everybody.
        core::sync::atomic::fence(SeqCst);
        self.look()?;
        Ok(self.put.wrapping_sub(self.taken) >= self.ring.capacity)
    }

    /// This side does not sleep any more.
    pub fn wake(&mut self) {
        // Needs no more order: who still sees the flag wakes a side that is awake, which costs a call only.
        self.ring.store(PRODUCER_SLEEPS, 0, Release);
    }
}

impl<'a> Consumer<'a> {
    /// The consumer of a ring over words that were all zero and that nobody has used yet. `None`: there is no
    /// room for an entry.
    pub fn new(words: &'a [AtomicU64]) -> Option<Self> {
        Some(Self { ring: Ring::new(words)?, put: 0, taken: 0, told: 0 })
    }

    fn look(&mut self) -> Result<(), Nonsense> {
        let put = self.ring.load(PUT, Acquire);
        let waiting = self.ring.filled(put, self.taken)?;
        if waiting < self.ring.filled(self.put, self.taken)? {
            return Err(Nonsense);
        }
        self.put = put;
        Ok(())
    }

    /// Whether there is an entry.
    ///
    /// # Errors
    /// What the producer says is not possible.
    pub fn has_entry(&mut self) -> Result<bool, Nonsense> {
        if self.put == self.taken {
            self.look()?;
        }
        Ok(self.put != self.taken)
    }

    /// Takes an entry out, if there is one. The producer has its room after [`Self::release`].
    ///
    /// # Errors
    /// What the producer says is not possible.
    pub fn take(&mut self) -> Result<Option<Entry>, Nonsense> {
        if !self.has_entry()? {
            return Ok(None);
        }
        // Entries that were taken and not released are still there, so one more may not be.
        self.ring.filled(self.put, self.told)?;
        let mut entry = Entry::default();
        // Once, into memory of this side's own: what is checked later is what was copied here.
        self.ring.entry(self.taken).zip(&mut entry).for_each(|(word, value)| *value = word.load(Relaxed));
        self.taken = self.taken.wrapping_add(1);
        Ok(Some(entry))
    }

    /// Gives the producer the room of all that was taken out. Returns whether it sleeps and is to be woken.
    #[must_use]
    pub fn release(&mut self) -> bool {
        if self.told == self.taken {
            return false;
        }
        self.told = self.taken;
        self.ring.store(TAKEN, self.taken, SeqCst);
        self.ring.load(PRODUCER_SLEEPS, SeqCst) == 1
    }

    /// Says that this side is about to sleep until there is an entry, and looks once more. Returns whether to
    /// sleep; [`Self::wake`] is said afterwards in any case.
    ///
    /// # Errors
    /// What the producer says is not possible.
    pub fn sleeps(&mut self) -> Result<bool, Nonsense> {
        self.ring.store(CONSUMER_SLEEPS, 1, SeqCst);
        // The look is behind the store for everybody.
        core::sync::atomic::fence(SeqCst);
        self.look()?;
        Ok(self.put == self.taken)
    }

    /// This side does not sleep any more.
    pub fn wake(&mut self) {
        self.ring.store(CONSUMER_SLEEPS, 0, Release);
    }
}

#[cfg(test)]
mod tests;
