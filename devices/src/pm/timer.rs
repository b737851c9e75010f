//! The PM timer's arithmetic.

use super::spec::TIMER_HZ;

const NS_PER_S: u64 = 1_000_000_000;

/// Ticks of the PM timer since guest time 0: exactly `floor(now_ns * 3579545 / 10^9)`.
///
/// Done in two parts so that 64 bits suffice: a 128-bit division would cost more than all the rest of the
/// exit.
#[inline]
pub fn ticks(now_ns: u64) -> u64 {
    let (seconds, rest) = (now_ns / NS_PER_S, now_ns % NS_PER_S);
    seconds * TIMER_HZ + rest * TIMER_HZ / NS_PER_S
}

/// How many bits the timer counts (FADT flag TMR_VAL_EXT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerWidth {
    /// 24 bits; bits 31:24 read as 0.
    Bits24,
    /// 32 bits.
    Bits32,
}

impl TimerWidth {
    const fn bits(self) -> u32 {
        match self {
            Self::Bits24 => 24,
            Self::Bits32 => 32,
        }
    }

    /// What the register reads as.
    #[inline]
    pub fn value(self, now_ns: u64) -> u32 {
        (ticks(now_ns) & ((1 << self.bits()) - 1)) as u32
    }

    /// How often the most significant bit has changed by then.
    pub(super) fn carries(self, now_ns: u64) -> u64 {
        ticks(now_ns) >> (self.bits() - 1)
    }

    /// The first nanosecond at which the most significant bit has changed `count` times.
    pub(super) fn carry_ns(self, count: u64) -> u64 {
        // So late that nobody waits for it.
        let Some(ticks) = count.checked_mul(1 << (self.bits() - 1)) else {
            return u64::MAX;
        };
        let (seconds, rest) = (ticks / TIMER_HZ, ticks % TIMER_HZ);
        seconds.saturating_mul(NS_PER_S).saturating_add((rest * NS_PER_S).div_ceil(TIMER_HZ))
    }
}
