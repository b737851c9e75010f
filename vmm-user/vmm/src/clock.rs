//! Guest time: nanoseconds since the VM was created, from the TSC.

use runtime::syscall::tsc;

/// Turns TSC values into guest time and back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base_tsc: u64,
    tsc_hz: u64,
    /// Nanoseconds per tick, times 2^32.
    ns_per_tick: u64,
    /// Ticks per nanosecond, times 2^32.
    ticks_per_ns: u64,
}

const NS_PER_S: u128 = 1_000_000_000;

impl Clock {
    /// A clock that begins now.
    pub fn new(tsc_hz: u64) -> Self {
        // Not 0, whatever the kernel says: it is divided by.
        let hz = u128::from(tsc_hz.max(1));
        Self {
            base_tsc: tsc(),
            tsc_hz,
            ns_per_tick: ((NS_PER_S << 32) / hz) as u64,
            ticks_per_ns: ((hz << 32) / NS_PER_S) as u64,
        }
    }

    /// The TSC's frequency.
    pub fn tsc_hz(&self) -> u64 {
        self.tsc_hz
    }

    /// Guest time.
    pub fn now_ns(&self) -> u64 {
        let ticks = tsc().wrapping_sub(self.base_tsc);
        // 64 bits would overflow after some seconds.
        ((u128::from(ticks) * u128::from(self.ns_per_tick)) >> 32) as u64
    }

    /// The TSC value at a guest time, rounded up; never passes for one that never comes.
    pub fn tsc_at(&self, ns: u64) -> u64 {
        // Rounded up: an exit a tick too early finds no timer due, and was for nothing.
        let ticks = (u128::from(ns) * u128::from(self.ticks_per_ns)) >> 32;
        // A guest may wait for a time that no TSC reaches; cut off, it would have passed long ago.
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        self.base_tsc.saturating_add(ticks).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_never_come_have_not_passed() {
        for hz in [1, 1_000_000, 1_000_000_000, 3_000_000_000, u64::MAX] {
            let clock = Clock { base_tsc: 1 << 40, ..Clock::new(hz) };
            let mut last = 0;
            for ns in (0..64).map(|bit| 1 << bit).chain([u64::MAX]) {
                let at = clock.tsc_at(ns);
                assert!(at >= last && at > clock.base_tsc, "{ns} ns at {hz} Hz: {at}");
                last = at;
            }
        }
        let clock = Clock { base_tsc: 100, ..Clock::new(2_000_000_000) };
        assert_eq!((clock.tsc_at(0), clock.tsc_at(1000), clock.tsc_at(u64::MAX)), (101, 2101, u64::MAX));
    }
}
