//! The local APIC's timer, as arithmetic on guest time: nothing counts, deadlines and counts are computed.
//!
//! TSC-deadline mode is kept beside it, as the guest's TSC is another clock: see [`Timer::arm_tsc`].

use super::spec;

/// The timer's input clock in Hz, before the divider; CPUID leaf 15h gives it as the crystal's frequency.
///
/// 25 MHz is a crystal real machines have, and its period is a whole number of nanoseconds.
pub const APIC_TIMER_HZ: u64 = 25_000_000;
/// The period of [`APIC_TIMER_HZ`] in nanoseconds.
pub const APIC_TIMER_TICK_NS: u64 = 1_000_000_000 / APIC_TIMER_HZ;

/// What the mode bits of the timer's LVT entry make it do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    OneShot,
    Periodic,
    TscDeadline,
    /// The reserved value: nothing counts.
    Reserved,
}

impl Mode {
    pub fn of_lvt(lvt: u32) -> Self {
        match lvt & spec::LVT_TIMER_MODE {
            spec::LVT_TIMER_ONE_SHOT => Self::OneShot,
            spec::LVT_TIMER_PERIODIC => Self::Periodic,
            spec::LVT_TIMER_TSC_DEADLINE => Self::TscDeadline,
            _ => Self::Reserved,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timer {
    pub mode: Mode,
    pub initial: u32,
    /// The divide configuration register.
    pub divide: u32,
    /// IA32_TSC_DEADLINE; 0 when not armed.
    pub tsc_deadline: u64,
    /// When the count reaches 0 next; `None` when it does not count.
    deadline_ns: Option<u64>,
}

impl Timer {
    /// The period of one count in nanoseconds. Bits 3, 1, 0 of the divide configuration select 2, 4, ... 128,
    /// 1.
    fn count_ns(&self) -> u64 {
        // Bit 2 of the register is none of the divider's.
        let bits = (self.divide & 3) | (self.divide >> 1 & 4);
        APIC_TIMER_TICK_NS << ((bits + 1) & 7)
    }

    fn period_ns(&self) -> u64 {
        u64::from(self.initial) * self.count_ns()
    }

    /// When it next fires, in guest nanoseconds.
    #[inline]
    pub fn deadline_ns(&self) -> Option<u64> {
        self.deadline_ns
    }

    /// The current count register.
    pub fn current(&self, now_ns: u64) -> u32 {
        // The count registers mean nothing in this mode; the deadline is an MSR.
        if self.mode == Mode::TscDeadline {
            return 0;
        }
        let Some(deadline_ns) = self.deadline_ns else { return 0 };
        let left_ns = match self.mode {
            // The expiry has not been served yet, but the count has begun anew.
            Mode::Periodic if now_ns >= deadline_ns => {
                let period_ns = self.period_ns().max(1);
                period_ns - (now_ns - deadline_ns) % period_ns
            }
            _ => deadline_ns.saturating_sub(now_ns),
        };
        u32::try_from(left_ns.div_ceil(self.count_ns())).unwrap_or(u32::MAX)
    }

    /// A write of the initial count starts the timer, or stops it with 0.
    pub fn set_initial(&mut self, value: u32, now_ns: u64) {
        if self.mode == Mode::TscDeadline {
            return;
        }
        self.initial = value;
        self.deadline_ns = (value != 0).then(|| now_ns.saturating_add(self.period_ns()));
    }

    /// A new divider: the count goes on from where it is.
    pub fn set_divide(&mut self, value: u32, now_ns: u64) {
        // What is left of the count goes on at the new rate.
        let left = u64::from(self.current(now_ns));
        self.divide = value & 0xb;
        if self.mode != Mode::TscDeadline && self.deadline_ns.is_some() {
            self.deadline_ns = Some(now_ns.saturating_add(left * self.count_ns()));
        }
    }

    /// A new mode: into and out of TSC-deadline mode disarms (SDM, "TSC-Deadline Mode"), else the count goes
    /// on.
    pub fn set_mode(&mut self, mode: Mode) {
        if mode == self.mode {
            return;
        }
        let counts = |mode| matches!(mode, Mode::OneShot | Mode::Periodic);
        // A change from or to TSC-deadline mode disarms the timer (SDM 3, "TSC-Deadline Mode").
        if !(counts(mode) && counts(self.mode)) {
            self.deadline_ns = None;
            self.tsc_deadline = 0;
        }
        self.mode = mode;
    }

    /// A write of IA32_TSC_DEADLINE, with the TSC as it is now and its frequency.
    pub fn arm_tsc(&mut self, deadline: u64, tsc: u64, tsc_hz: u64, now_ns: u64) {
        // Outside of the mode a write is ignored, and does not arm what a later change of mode would find.
        if self.mode != Mode::TscDeadline {
            return;
        }
        self.tsc_deadline = deadline;
        // 0 disarms.
        self.deadline_ns = (deadline != 0).then(|| {
            // A deadline that has passed fires at once; the product of the largest ones needs 128 bits.
            let ticks = u128::from(deadline.saturating_sub(tsc));
            let wait_ns = (ticks * 1_000_000_000).div_ceil(u128::from(tsc_hz.max(1)));
            now_ns.saturating_add(u64::try_from(wait_ns).unwrap_or(u64::MAX))
        });
    }

    /// Lets time pass. Returns whether the timer fired; more than once counts as once.
    pub fn advance(&mut self, now_ns: u64) -> bool {
        let Some(deadline_ns) = self.deadline_ns else { return false };
        if now_ns < deadline_ns {
            return false;
        }
        self.deadline_ns = match self.mode {
            Mode::Periodic => {
                let period_ns = self.period_ns().max(1);
                // The phase is kept however late this is, so that the guest's clock does not drift.
                let missed = (now_ns - deadline_ns) / period_ns;
                deadline_ns.checked_add((missed + 1).saturating_mul(period_ns))
            }
            _ => None,
        };
        // The MSR reads as 0 once its time has come (SDM 3, "TSC-Deadline Mode").
        self.tsc_deadline = 0;
        true
    }
}
