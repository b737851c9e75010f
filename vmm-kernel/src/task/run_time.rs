//! How long a thread has run, in ticks of the TSC.

use core::sync::atomic::{AtomicU64, Ordering};

/// The time of one thread. Its own processor writes it, at switches; any may read it.
pub struct RunTime {
    /// Up to when it last lost its processor.
    total: AtomicU64,
    /// When it got its processor; 0 while it has none.
    since: AtomicU64,
}

impl RunTime {
    /// Of a thread that has not run.
    pub const fn new() -> Self {
        Self { total: AtomicU64::new(0), since: AtomicU64::new(0) }
    }

    /// It gets its processor.
    pub fn begin(&self, now: u64) {
        self.since.store(now, Ordering::Relaxed);
    }

    /// It loses its processor. Returns all that it has run.
    pub fn end(&self, now: u64) -> u64 {
        let since = self.since.load(Ordering::Relaxed);
        // Both are of its own processor, whose counter goes on.
        let total = self.total.load(Ordering::Relaxed).wrapping_add(now.wrapping_sub(since));
        self.total.store(total, Ordering::Relaxed);
        self.since.store(0, Ordering::Release);
        total
    }

    /// What it has run until now. A switch on its processor at the same moment is looked past.
    pub fn until(&self, now: u64) -> u64 {
        const LOOKS: u32 = 4;
        let mut ran = 0;
        for _ in 0..LOOKS {
            // A switch changes both words: a total is taken only between two looks at `since` that agree.
            let since = self.since.load(Ordering::Acquire);
            ran = self.total.load(Ordering::Acquire);
            if self.since.load(Ordering::Relaxed) == since {
                return if since == 0 { ran } else { ran + now.saturating_sub(since) };
            }
        }
        ran
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_add_up_and_the_one_that_lasts_counts() {
        let time = RunTime::new();
        assert_eq!(time.until(1000), 0);
        time.begin(1000);
        assert_eq!(time.until(1007), 7);
        // The time-stamp counters of two processors may differ.
        assert_eq!(time.until(999), 0);
        assert_eq!(time.end(1010), 10);
        assert_eq!(time.until(5000), 10);
        time.begin(6000);
        assert_eq!(time.until(6001), 11);
        assert_eq!(time.until(5999), 10);
        assert_eq!(time.end(6002), 12);
    }
}
