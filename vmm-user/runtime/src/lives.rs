//! Which life of a process a complaint is about, where one that ends is followed by another.
//!
//! Who starts the processes shares two words with who uses them, and an event by which the user complains:
//!
//! | word | written by | |
//! |---|---|---|
//! | 0 | who starts them | the life that there is: 1, and one more before each process that follows |
//! | 1 | who uses them | the life that it complains of, before it signals the event |
//!
//! An event alone does not say which: when it is looked at, the process may have ended by itself, and its
//! successor would be ended in its place.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use vcpu_abi::operation::Permissions;
use vcpu_abi::status::Status;

use crate::shared::SharedMemory;

/// The two words.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    present: &'static AtomicU64,
    complained_of: &'static AtomicU64,
}

impl Lives {
    /// The first two words of some memory. `None`: it has fewer.
    pub fn new(words: &'static [AtomicU64]) -> Option<Self> {
        let [present, complained_of, ..] = words else { return None };
        Some(Self { present, complained_of })
    }

    /// Those at the beginning of shared memory, which is mapped for as long as this process lives.
    ///
    /// # Errors
    /// The kernel's.
    pub fn map(memory: SharedMemory) -> Result<Self, Status> {
        let mapping = memory.map(Permissions::READ | Permissions::WRITE)?;
        Self::new(Box::leak(Box::new(mapping)).words()).ok_or(Status::BadArgument)
    }

    /// For who starts the processes: this life begins. Before its process starts, and when the one before it
    /// has ended: who finds the same life before and behind a call has been answered by that life's process.
    pub fn begin(self, life: u64) {
        self.present.store(life, Ordering::SeqCst);
    }

    /// For who starts the processes: the life of the last complaint, 0 before the first.
    pub fn complained_of(self) -> u64 {
        self.complained_of.load(Ordering::SeqCst)
    }

    /// For who uses them: the life that there is.
    pub fn present(self) -> u64 {
        self.present.load(Ordering::SeqCst)
    }

    /// For who uses them: which life the complaint will be about that is signalled next.
    pub fn complain_of(self, life: u64) {
        self.complained_of.store(life, Ordering::SeqCst);
    }
}
