//! The longest that each processor had interrupts off, for the kernel that measures it (`--features
//! vmm-kernel/masked-time`). Without the feature [`ON`] is false, and callers leave nothing behind.
//!
//! A span begins with a system call or a trap that came while interrupts were allowed, and behind each moment
//! of [`masking`](super::masking) that allowed them. It ends with the way back, and where they are allowed
//! again. A guest's run is no span: what interrupts it does so at once. Nor is the entry code, nor `SYS_RUN`
//! by its short way, which are some hundred instructions without a loop.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{per_cpu, time};
use crate::layout::MAX_CPUS;

/// Whether this kernel measures.
pub const ON: bool = cfg!(all(feature = "masked-time", target_os = "none"));

/// In [`Spans::why`], with a trap's vector.
pub const TRAP: u32 = 0x1_0000;
/// In [`Spans::why`], with a system call's number.
pub const CALL: u32 = 0x2_0000;

/// What a processor knows of it. Only that processor writes.
struct Spans {
    /// When the span began, by the TSC; 0 outside of one.
    since: AtomicU64,
    /// What it is part of: an operation's code, or what came last with [`TRAP`] or [`CALL`].
    why: AtomicU32,
    longest: AtomicU64,
    why_longest: AtomicU32,
}

static SPANS: [Spans; MAX_CPUS] = [const {
    Spans {
        since: AtomicU64::new(0),
        why: AtomicU32::new(0),
        longest: AtomicU64::new(0),
        why_longest: AtomicU32::new(0),
    }
}; MAX_CPUS];

fn spans() -> Option<&'static Spans> {
    if ON { SPANS.get(per_cpu::this_cpu_number() as usize) } else { None }
}

/// Interrupts are off from here on, for the same reason as before.
#[inline(always)]
pub fn begin() {
    if let Some(spans) = spans() {
        spans.since.store(time::now(), Ordering::Relaxed);
    }
}

/// Interrupts are off from here on, because of this.
#[inline(always)]
pub fn begin_as(why: u32) {
    name(why);
    begin();
}

/// What the present span is part of.
#[inline(always)]
pub fn name(why: u32) {
    if let Some(spans) = spans() {
        spans.why.store(why, Ordering::Relaxed);
    }
}

/// Interrupts are allowed again, or will be by the way back to user mode.
#[inline(always)]
pub fn end() {
    if let Some(spans) = spans() {
        spans.end(time::now());
    }
}

impl Spans {
    fn end(&self, now: u64) {
        // Outside of a span there is nothing to end: a moment that allows interrupts during the boot, say.
        let since = self.since.swap(0, Ordering::Relaxed);
        let ticks = now.saturating_sub(since);
        if since != 0 && ticks > self.longest.load(Ordering::Relaxed) {
            self.longest.store(ticks, Ordering::Relaxed);
            self.why_longest.store(self.why.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// The longest span of any processor, and what it was part of, if this kernel measures.
pub fn longest() -> Option<(u64, u32)> {
    let each = SPANS
        .iter()
        .map(|spans| (spans.longest.load(Ordering::Relaxed), spans.why_longest.load(Ordering::Relaxed)));
    each.max().filter(|_| ON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_span_stays() {
        let spans = Spans {
            since: AtomicU64::new(0),
            why: AtomicU32::new(0),
            longest: AtomicU64::new(0),
            why_longest: AtomicU32::new(0),
        };
        for (since, now, why, longest, why_longest) in [
            (0, 90, 1, 0, 0),
            (100, 150, 2, 50, 2),
            (200, 240, 3, 50, 2),
            (300, 360, 4, 60, 4),
            (0, 999, 5, 60, 4),
        ] {
            spans.since.store(since, Ordering::Relaxed);
            spans.why.store(why, Ordering::Relaxed);
            spans.end(now);
            let seen = (spans.longest.load(Ordering::Relaxed), spans.why_longest.load(Ordering::Relaxed));
            assert_eq!(seen, (longest, why_longest), "{why}");
        }
    }
}
