//! Time: the TSC, and what the local APIC's timer counts meanwhile. [`calibration`](super::calibration) says
//! how fast both are.
#![allow(unsafe_code, reason = "RDTSC")]

use core::sync::atomic::{AtomicU64, Ordering};

static BOOT_TSC: AtomicU64 = AtomicU64::new(0);
static TSC_HZ: AtomicU64 = AtomicU64::new(1_000_000_000);
/// Local APIC timer ticks per 2^32 TSC ticks.
static APIC_PER_TSC: AtomicU64 = AtomicU64::new(1 << 32);

/// The processor's time-stamp counter.
pub fn now() -> u64 {
    // SAFETY: RDTSC reads a counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Remembers when the kernel began.
pub fn mark_boot() {
    BOOT_TSC.store(now(), Ordering::Relaxed);
}

/// TSC value when the kernel began.
pub fn boot_tsc() -> u64 {
    BOOT_TSC.load(Ordering::Relaxed)
}

/// Frequency of the TSC in Hz: assumed before, measured after [`set_rates`].
pub fn tsc_hz() -> u64 {
    TSC_HZ.load(Ordering::Relaxed)
}

/// Microseconds since the kernel began.
pub fn since_boot_us() -> u64 {
    let ticks = now().wrapping_sub(boot_tsc());
    (u128::from(ticks) * 1_000_000 / u128::from(tsc_hz())) as u64
}

/// The local APIC timer's count for a span of TSC ticks: at least 1, at most the register's size.
pub fn apic_count(tsc_ticks: u64) -> u32 {
    let count = (u128::from(tsc_ticks) * u128::from(APIC_PER_TSC.load(Ordering::Relaxed))) >> 32;
    // Zero would stop the timer. A deadline beyond the register's end takes several rounds: each time it is
    // armed again.
    count.clamp(1, u128::from(u32::MAX)) as u32
}

/// Waits, busily.
pub fn spin_us(micros: u64) {
    let end = now().wrapping_add(tsc_hz() / 1_000_000 * micros);
    while (end.wrapping_sub(now()) as i64) > 0 {
        core::hint::spin_loop();
    }
}

/// What was measured: the TSC's frequency, and how far the local APIC's timer counts in some of its ticks.
pub fn set_rates(hz: u64, apic_ticks: u64, tsc_ticks: u64) {
    TSC_HZ.store(hz, Ordering::Relaxed);
    // The APIC's counter has 32 bits, so nothing is shifted out.
    APIC_PER_TSC.store((apic_ticks << 32) / tsc_ticks, Ordering::Relaxed);
}
