//! When a thread that waits is to be woken.
//!
//! Most waits with a deadline end before it, and the next one's is later. So a thread that has stopped
//! waiting stays among its processor's [`sleepers`](super::sleepers), with the time that it had there; when
//! that comes, it is looked at whether the thread waits, and until when.

use core::cell::Cell;

/// A thread's alarm. Only the thread's own processor touches it.
pub struct Alarm {
    /// TSC value to be woken at; `u64::MAX` while it does not wait, or waits for ever.
    wanted: Cell<u64>,
    /// TSC value at which it is among the sleepers; `u64::MAX` if it is not.
    listed: Cell<u64>,
}

/// What becomes of a sleeper whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is woken.
    Now,
    /// It is to be among the sleepers again, until then.
    Later(u64),
    /// It does not sleep.
    Never,
}

impl Alarm {
    /// Of a thread that does not wait.
    pub const fn new() -> Self {
        Self { wanted: Cell::new(u64::MAX), listed: Cell::new(u64::MAX) }
    }

    /// The thread waits, until a deadline. Returns whether it must be put among the sleepers for that.
    #[inline(always)]
    #[must_use]
    pub fn set(&self, deadline_tsc: u64) -> bool {
        self.wanted.set(deadline_tsc);
        // An earlier time among the sleepers will do: when it comes, the thread is put back there for the
        // later one.
        deadline_tsc < self.listed.get()
    }

    /// The thread does not wait any more.
    #[inline(always)]
    pub fn stop(&self) {
        self.wanted.set(u64::MAX);
    }

    /// Whether it is among the sleepers.
    pub fn is_listed(&self) -> bool {
        self.listed.get() != u64::MAX
    }

    /// It is among the sleepers, with this time.
    pub fn list(&self, tsc: u64) {
        self.listed.set(tsc);
    }

    /// It was taken from the sleepers, as the time that it had there has come, or as it ends.
    pub fn take(&self, now_tsc: u64) -> Due {
        self.listed.set(u64::MAX);
        match self.wanted.get() {
            u64::MAX => Due::Never,
            wanted if wanted <= now_tsc => Due::Now,
            wanted => Due::Later(wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_is_over_leaves_its_time_for_the_next() {
        let alarm = Alarm::new();
        assert!(!alarm.set(u64::MAX), "one that waits for ever is no sleeper");
        assert!(alarm.set(50) && !alarm.is_listed());
        alarm.list(50);
        assert!(alarm.is_listed());
        alarm.stop();
        // A later deadline is found when the earlier one has come; a sooner one would be missed.
        assert!(!alarm.set(70) && !alarm.set(50) && alarm.set(49));
        assert!(!alarm.set(70));
        assert_eq!(alarm.take(50), Due::Later(70));
        assert!(!alarm.is_listed());
        alarm.list(70);
        assert_eq!(alarm.take(70), Due::Now);
        alarm.list(80);
        alarm.stop();
        assert_eq!(alarm.take(90), Due::Never);
    }
}
