//! How fast TSC and local APIC timer count: measured once, against the PIT.

use super::{local_apic, ports, time};

/// Input clock of the PIT in Hz.
const PIT_HZ: u64 = 1_193_182;
/// How long a round of calibration takes at least: 10 ms in PIT ticks.
const CALIBRATION_TICKS: u64 = PIT_HZ / 100;
/// What the PIT counts down from in a round: 55 ms.
const COUNT: u64 = 0xffff;
const CALIBRATION_ROUNDS: usize = 10;
/// The most rounds while there is no measurement at all.
const CALIBRATION_ATTEMPTS: usize = 50;
/// A measurement whose doubt is at most this many millionths is good enough.
const GOOD_PPM: u64 = 1000;
/// The most looks at the PIT in a round: a host whose PIT stands still ends it so.
const POLLS: u32 = 300_000;
/// What calibration may say: a host that claims less or more is not believed.
const PLAUSIBLE_HZ: core::ops::RangeInclusive<u64> = 10_000_000..=100_000_000_000;

/// TSC and local APIC timer, measured against channel 2 of the PIT.
#[derive(Clone, Copy)]
struct Measurement {
    tsc_ticks: u64,
    apic_ticks: u64,
    pit_ticks: u64,
    /// How wrong `tsc_ticks` can be, in millionths: the host may take the processor away between a look at
    /// one clock and at another.
    doubt_ppm: u64,
}

/// Measures TSC and local APIC timer against the PIT. Of several measurements the least doubtful one is
/// believed; an implausible one leaves what was assumed. Where the platform says how fast the TSC counts, the
/// local APIC timer is measured against that: what the host's PIT says of both at once does not matter then.
pub fn calibrate(trusted_tsc_hz: Option<u64>) {
    let mut best: Option<Measurement> = None;
    for round in 1..=CALIBRATION_ATTEMPTS {
        best = [best, measure()].into_iter().flatten().min_by_key(|m| m.doubt_ppm);
        if best.is_some_and(|m| m.doubt_ppm <= GOOD_PPM || round >= CALIBRATION_ROUNDS) {
            break;
        }
    }
    let Some(Measurement { tsc_ticks, apic_ticks, pit_ticks, doubt_ppm }) = best else {
        log::warn!("the host's PIT does not count; a TSC of 1 GHz assumed");
        return;
    };
    let by_pit = (u128::from(tsc_ticks) * u128::from(PIT_HZ) / u128::from(pit_ticks)) as u64;
    let hz = trusted_tsc_hz.unwrap_or(by_pit);
    if !PLAUSIBLE_HZ.contains(&hz) || apic_ticks == 0 {
        log::warn!("the host's PIT gives an implausible TSC frequency of {hz} Hz; 1 GHz assumed");
        return;
    }
    time::set_rates(hz, apic_ticks, tsc_ticks);
    let apic_khz = u128::from(apic_ticks) * u128::from(hz) / u128::from(tsc_ticks) / 1000;
    log::info!("TSC {} kHz, local APIC timer {} kHz, within {doubt_ppm} ppm", hz / 1000, apic_khz as u64);
}

/// One measurement (Intel 8254; channel 2's gate and output are in port 61h): the clocks are started together
/// and looked at together, and the TSC before and after tells how far apart that can have been. `None` if the
/// PIT is of no use.
fn measure() -> Option<Measurement> {
    // Gate closed, speaker off: in mode 0 nothing is counted before the gate opens, which starts the PIT
    // beside the other clocks.
    let gate = ports::read_u8(0x61) & 0xfc;
    ports::write_u8(0x61, gate);
    // Channel 2, both bytes, mode 0: the output rises when the count is over.
    ports::write_u8(0x43, 0xb0);
    ports::write_u8(0x42, COUNT as u8);
    ports::write_u8(0x42, (COUNT >> 8) as u8);
    let began = time::now();
    local_apic::start_counting();
    ports::write_u8(0x61, gate | 1);
    let begun = time::now();
    let mut best: Option<Measurement> = None;
    for _ in 0..POLLS {
        let Some(measurement) = look(began, begun) else { break };
        if measurement.pit_ticks >= CALIBRATION_TICKS {
            best = [best, Some(measurement)].into_iter().flatten().min_by_key(|m| m.doubt_ppm);
            if measurement.doubt_ppm <= GOOD_PPM {
                break;
            }
        }
    }
    local_apic::stop_counting();
    ports::write_u8(0x61, gate);
    best
}

/// Looks at the clocks, which were started between two TSC values. `None` when the PIT's count is over.
fn look(began: u64, begun: u64) -> Option<Measurement> {
    let before = time::now();
    // Latch channel 2's count.
    ports::write_u8(0x43, 0x80);
    let count = u64::from(ports::read_u8(0x42)) | u64::from(ports::read_u8(0x42)) << 8;
    let apic_ticks = u64::from(local_apic::counted());
    let after = time::now();
    // The output is up: the count is over and has begun again from the top, so what was read says nothing.
    if ports::read_u8(0x61) & 0x20 != 0 {
        return None;
    }
    let doubt = begun.wrapping_sub(began).saturating_add(after.wrapping_sub(before));
    // From the middle of the one to the middle of the other.
    let tsc_ticks = (before.wrapping_sub(began) / 2).saturating_add(after.wrapping_sub(begun) / 2).max(1);
    let doubt_ppm = (u128::from(doubt) * 1_000_000 / u128::from(tsc_ticks)).min(u128::from(u64::MAX)) as u64;
    Some(Measurement { tsc_ticks, apic_ticks, pit_ticks: COUNT.saturating_sub(count).max(1), doubt_ppm })
}
