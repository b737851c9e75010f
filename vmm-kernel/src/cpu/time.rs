//! Time: the TSC, calibrated once against the PIT, and the local APIC's timer with it.
#![allow(unsafe_code, reason = "RDTSC")]

use core::sync::atomic::{AtomicU64, Ordering};

use super::{local_apic, ports};

/// Input clock of the PIT in Hz.
const PIT_HZ: u64 = 1_193_182;
/// How long a round of calibration takes: 10 ms in PIT ticks.
const CALIBRATION_TICKS: u64 = PIT_HZ / 100;
const CALIBRATION_ROUNDS: usize = 5;
/// What calibration may say: a host that claims less or more is not believed.
const PLAUSIBLE_HZ: core::ops::RangeInclusive<u64> = 10_000_000..=100_000_000_000;

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

/// Frequency of the TSC in Hz: assumed before, measured after [`calibrate`].
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
    count.clamp(1, u128::from(u32::MAX)) as u32
}

/// Waits, busily.
pub fn spin_us(micros: u64) {
    let end = now().wrapping_add(tsc_hz() / 1_000_000 * micros);
    while (end.wrapping_sub(now()) as i64) > 0 {
        core::hint::spin_loop();
    }
}

/// Measures TSC and local APIC timer against channel 2 of the PIT. A host that takes the processor away in a round only makes it
/// longer, so the shortest of several is believed; an implausible one leaves what was assumed.
pub fn calibrate() {
    let rounds = (0..CALIBRATION_ROUNDS).map(|_| calibration_round());
    let Some((tsc_ticks, apic_ticks)) = rounds.min() else { return };
    let hz = (u128::from(tsc_ticks) * u128::from(PIT_HZ) / u128::from(CALIBRATION_TICKS)) as u64;
    if !PLAUSIBLE_HZ.contains(&hz) || apic_ticks == 0 {
        log::warn!("the host's PIT gives an implausible TSC frequency of {hz} Hz; 1 GHz assumed");
        return;
    }
    TSC_HZ.store(hz, Ordering::Relaxed);
    APIC_PER_TSC.store((apic_ticks << 32) / tsc_ticks, Ordering::Relaxed);
    let apic_khz = u128::from(apic_ticks) * u128::from(hz) / u128::from(tsc_ticks) / 1000;
    log::info!("TSC {} kHz, local APIC timer {} kHz", hz / 1000, apic_khz as u64);
}

/// Ticks of TSC and local APIC timer while the PIT counts down (Intel 8254; channel 2's gate and output are in port 61h).
fn calibration_round() -> (u64, u64) {
    let gate = ports::read_u8(0x61) & 0xfc;
    ports::write_u8(0x61, gate);
    // Channel 2, both bytes, mode 0: the output rises when the count is over.
    ports::write_u8(0x43, 0xb0);
    ports::write_u8(0x42, CALIBRATION_TICKS as u8);
    ports::write_u8(0x42, (CALIBRATION_TICKS >> 8) as u8);
    local_apic::start_counting();
    let start = now();
    ports::write_u8(0x61, gate | 1);
    let mut polls = 0u64;
    while ports::read_u8(0x61) & 0x20 == 0 && polls < 100_000_000 {
        polls += 1;
    }
    let tsc_ticks = now().wrapping_sub(start);
    let apic_ticks = u64::from(local_apic::stop_counting());
    ports::write_u8(0x61, gate);
    (tsc_ticks.max(1), apic_ticks)
}
