//! Protection against dictionary attacks (part 1, 19.8).

use crate::constants::handle;
use crate::engine::Tpm;
use crate::rc::{Rc, Result};

/// Milliseconds of a second; times of the protection are in seconds.
const SECOND: u64 = 1000;

/// Points on the platform's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timers {
    /// Since when the oldest failed try counts.
    since: u64,
    /// Since when lockout's authorization is refused.
    lockout_since: u64,
}

/// The parameters and the count, which are kept for good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lockout {
    pub(crate) failed_tries: u32,
    pub(crate) max_tries: u32,
    /// Seconds after which a failed try is forgotten; zero turns the protection off.
    pub(crate) recovery_time: u32,
    /// Seconds after which lockout's authorization may be tried again; zero: after the next reset.
    pub(crate) lockout_recovery: u32,
    /// Whether lockout's authorization may be used.
    pub(crate) is_enabled: bool,
}

impl Lockout {
    /// What a new TPM and TPM2_Clear have.
    pub(crate) const DEFAULT: Lockout = Lockout {
        failed_tries: 0,
        max_tries: 3,
        recovery_time: 1000,
        lockout_recovery: 1000,
        is_enabled: true,
    };
}

impl Tpm {
    /// Forgets failed tries for which enough time has passed.
    pub(crate) fn heal(&mut self) {
        let now = self.volatile.time_seen;
        let timers = &mut self.volatile.lockout;
        let lockout = &mut self.permanent.lockout_state;
        if lockout.failed_tries > 0 && lockout.recovery_time > 0 {
            let step = u64::from(lockout.recovery_time) * SECOND;
            // Time passes only when a command comes, so that several may be due at once.
            let count = now.saturating_sub(timers.since) / step;
            if count > 0 {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                lockout.failed_tries = lockout.failed_tries.saturating_sub(count);
                // Not `now`: what has passed beyond whole steps counts for the next one.
                timers.since += u64::from(count) * step;
                self.is_dirty = true;
            }
        }
        let recovery = u64::from(lockout.lockout_recovery) * SECOND;
        if !lockout.is_enabled && recovery > 0 && now.saturating_sub(timers.lockout_since) >= recovery {
            lockout.is_enabled = true;
            self.is_dirty = true;
        }
    }

    /// Starts the timers anew, at a startup or when the parameters change.
    pub(crate) fn restart_lockout_timers(&mut self) {
        let now = self.volatile.time_seen;
        // The platform's clock says nothing about the time without power, so the wait begins again: too long
        // is safe.
        self.volatile.lockout = Timers { since: now, lockout_since: now };
    }

    pub(crate) const fn is_locked_out(&self) -> bool {
        let lockout = &self.permanent.lockout_state;
        // A recovery time of zero turns the protection off; with zero tries everything is locked out, always
        // (part 3, 25.3).
        lockout.failed_tries >= lockout.max_tries && lockout.recovery_time != 0 || lockout.max_tries == 0
    }

    /// Whether an authorization value that the protection covers may be tried now.
    pub(crate) fn check_lockout(&self, entity: u32) -> Result<()> {
        if entity == handle::LOCKOUT {
            return if self.permanent.lockout_state.is_enabled { Ok(()) } else { Err(Rc::LOCKOUT) };
        }
        if self.is_locked_out() { Err(Rc::LOCKOUT) } else { Ok(()) }
    }

    /// Counts a failed try. It is saved before the response tells of it.
    pub(crate) fn count_failed_try(&mut self, entity: u32) {
        let now = self.volatile.time_seen;
        let lockout = &mut self.permanent.lockout_state;
        if entity == handle::LOCKOUT {
            // After one wrong value already: this one resets the count of all others, so that guessing it
            // would pay.
            lockout.is_enabled = false;
            self.volatile.lockout.lockout_since = now;
        } else if lockout.recovery_time != 0 {
            // Later tries do not move it: the wait belongs to the oldest one.
            if lockout.failed_tries == 0 {
                self.volatile.lockout.since = now;
            }
            lockout.failed_tries = lockout.failed_tries.saturating_add(1);
        }
        self.touch();
    }
}
