//! Time, clock and counts of resets (part 1, 36).

use crate::engine::Tpm;
use crate::wire::Writer;

/// Milliseconds after which the clock is saved, so that it never falls behind by more.
pub(crate) const UPDATE_INTERVAL: u64 = 1 << 16;

/// A time of the TPM's, in milliseconds, and the time epoch that it is of: the time begins anew with each
/// epoch, so that times of two epochs can't be compared (part 1, 36).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) time: u64,
    pub(crate) epoch: u64,
}

impl Tpm {
    /// Lets the platform's time pass.
    pub(crate) fn tick(&mut self) {
        let now = self.platform.milliseconds();
        // A platform's clock that goes back must not take the TPM's along.
        let passed = now.saturating_sub(self.volatile.time_seen);
        self.volatile.time_seen = now;
        // The clock stands between reset and TPM2_Startup; only the time runs (part 1, 36).
        if !self.volatile.is_started {
            return;
        }
        self.permanent.clock = self.permanent.clock.saturating_add(passed);
        if self.permanent.clock >= self.volatile.clock_saved.saturating_add(UPDATE_INTERVAL) {
            // At most one interval was lost with the power: from here on the clock is beyond all that it said
            // before.
            self.volatile.is_clock_safe = true;
            self.touch();
        }
        self.heal();
    }

    /// Milliseconds since the TPM was powered on.
    pub(crate) const fn time(&self) -> u64 {
        self.volatile.time_seen.saturating_sub(self.volatile.time_at_start)
    }

    /// The present time.
    pub(crate) const fn now(&self) -> Moment {
        Moment { time: self.time(), epoch: self.volatile.time_epoch }
    }

    /// TPMS_CLOCK_INFO.
    pub(crate) fn write_clock_info(&self, w: &mut Writer) {
        w.u64(self.permanent.clock).u32(self.permanent.reset_count).u32(self.permanent.restart_count);
        w.yes_no(self.volatile.is_clock_safe);
    }

    /// TPMS_TIME_INFO.
    pub(crate) fn write_time_info(&self, w: &mut Writer) {
        w.u64(self.time());
        self.write_clock_info(w);
    }
}
