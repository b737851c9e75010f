//! A lock for what has to go on when its holder cannot: whoever waits for it may give up, and its own holder
//! does not wait at all.
//!
//! It guards no value: what is written without it must be safe to write nevertheless.

use core::sync::atomic::{AtomicU32, Ordering};

/// Nobody holds it.
const NOBODY: u32 = u32::MAX;

/// Whose turn it is.
pub struct Turn {
    holder: AtomicU32,
}

/// What came of asking for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nobody had it.
    Free,
    /// The same processor has it already: a fault came in between.
    Nested,
    /// Another has it, and patience has run out.
    Impatient,
}

impl Turn {
    /// Nobody's.
    pub const fn new() -> Self {
        Self { holder: AtomicU32::new(NOBODY) }
    }

    fn take(&self, processor: u32, is_patient: impl Fn(u64) -> bool) -> Taken {
        let mut looks = 0;
        loop {
            match self.holder.compare_exchange(NOBODY, processor, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Taken::Free,
                Err(holder) if holder == processor => return Taken::Nested,
                Err(_) if !is_patient(looks) => return Taken::Impatient,
                Err(_) => looks += 1,
            }
            core::hint::spin_loop();
        }
    }

    /// Runs `f` when it is this processor's turn: at once when it is already, and when `is_patient`, which is
    /// told how many looks there have been, says no.
    pub fn with<R>(&self, processor: u32, is_patient: impl Fn(u64) -> bool, f: impl FnOnce(Taken) -> R) -> R {
        let taken = self.take(processor, is_patient);
        let result = f(taken);
        if taken == Taken::Free {
            self.holder.store(NOBODY, Ordering::Release);
        }
        result
    }
}

#[cfg(test)]
mod tests;
