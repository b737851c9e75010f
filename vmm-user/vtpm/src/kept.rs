//! What outlives the process: whether there was a TPM before since the machine began, and which snapshot
//! was its newest. init keeps the memory (`shared` in `init.conf`), so the host can't turn it back as it can
//! a disk.

use core::sync::atomic::{AtomicU64, Ordering};

/// In which life of the machine there was a TPM the last time, counted from 1; 0: in none.
const STARTED: usize = 0;
/// The number of its newest snapshot, and one more.
const NEWEST: usize = 1;

/// Memory of this process's and of those that come after it.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a>(pub &'a [AtomicU64]);

impl Kept<'_> {
    fn word(&self, index: usize) -> u64 {
        self.0.get(index).map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn set(&self, index: usize, value: u64) {
        if let Some(word) = self.0.get(index) {
            word.store(value, Ordering::Release);
        }
    }

    /// Whether there was a TPM before in this life of the machine, whose PCRs are lost. One of before the
    /// guest's last reset is none: with the guest its PCRs begin anew.
    pub fn is_again(&self, life: u64) -> bool {
        self.word(STARTED) >= life
    }

    /// The number of its newest snapshot.
    pub fn newest(&self) -> Option<u64> {
        self.word(NEWEST).checked_sub(1)
    }

    /// Records that there is a TPM in this life, before anybody can use it.
    pub fn begin(&self, life: u64) {
        self.set(STARTED, life);
    }

    /// Records which snapshot is the newest, before anybody hears of what is in it.
    pub fn record(&self, newest: u64) {
        // The last number of all is none of a snapshot: the engine counts no further.
        self.set(NEWEST, newest.saturating_add(1));
    }
}
