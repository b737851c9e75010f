//! The time of day, from the host's real-time clock, for the guest's to start with.
//!
//! The host may say what it likes: a wrong time is all that comes of it. Registers: Motorola MC146818, as PCs
//! have it.

use devices::rtc::CmosConfig;
use devices::rtc::calendar::Fields;
use runtime::abi::operation::{Handle, PortRead, PortWrite};
use runtime::call;

use crate::guest_memory::Range;

/// Where the guest's clock starts when nobody knows the time: 2026-01-01.
const DEFAULT_UNIX_S: i64 = 1_767_225_600;
/// Offsets in the two ports.
const INDEX: u32 = 0;
const DATA: u32 = 1;

const REGISTER_A: u8 = 0x0a;
const REGISTER_B: u8 = 0x0b;
const CENTURY: u8 = 0x32;
const UPDATE_IN_PROGRESS: u8 = 1 << 7;
const BINARY: u8 = 1 << 2;
const HOURS_24: u8 = 1 << 1;
const AFTERNOON: u8 = 1 << 7;
/// How often a reading that an update may have torn is repeated.
const ATTEMPTS: u32 = 1000;

fn register(ports: Handle, index: u8) -> Option<u8> {
    call(ports, PortWrite { offset: INDEX, width: 1, value: u32::from(index), reserved: 0 }).ok()?;
    call(ports, PortRead { offset: DATA, width: 1, value: 0, reserved: 0 }).ok().map(|c| c.value as u8)
}

fn from_bcd(value: u8) -> u8 {
    // Wrapping, since the host may give digits that are none.
    (value >> 4).wrapping_mul(10).wrapping_add(value & 0xf)
}

/// Seconds, minutes, hours, day, month, year, century, register B.
fn raw(ports: Handle) -> Option<[u8; 8]> {
    let mut values = [0; 8];
    for (value, index) in values.iter_mut().zip([0, 2, 4, 7, 8, 9, CENTURY, REGISTER_B]) {
        *value = register(ports, index)?;
    }
    Some(values)
}

fn decode(values: [u8; 8]) -> Fields {
    let [second, minute, hour, day, month, year, century, mode] = values;
    let number = |value: u8| if mode & BINARY != 0 { value } else { from_bcd(value) };
    let afternoon = mode & HOURS_24 == 0 && hour & AFTERNOON != 0;
    let hour = match (mode & HOURS_24 != 0, number(hour & !AFTERNOON)) {
        (true, hour) => hour,
        // Twelve o'clock is the first hour of its half of the day.
        (false, hour) => hour % 12 + if afternoon { 12 } else { 0 },
    };
    let century = number(century);
    Fields {
        second: number(second),
        minute: number(minute),
        hour,
        weekday: 1,
        day: number(day),
        month: number(month),
        year: number(year),
        // A clock without a century register is of this one.
        century: if (19..=29).contains(&century) { century } else { 20 },
    }
}

/// Seconds since 1970, for the guest's clock to start with.
pub fn unix_s(ports: Option<Handle>) -> i64 {
    ports.and_then(read).unwrap_or(DEFAULT_UNIX_S)
}

/// What the CMOS memory says of the machine.
pub fn cmos(memory: &[Range], cpus: u32) -> CmosConfig {
    let end = |high: bool| {
        memory.iter().filter(|r| (r.gpa >= 1 << 32) == high).map(|r| r.gpa + r.bytes).max().unwrap_or(0)
    };
    CmosConfig { low_ram_bytes: end(false), high_ram_bytes: end(true).saturating_sub(1 << 32), cpus }
}

/// Seconds since 1970; `None` when the clock cannot be read.
fn read(ports: Handle) -> Option<i64> {
    // Bounded: a host may say for ever that its clock is being updated.
    for _ in 0..ATTEMPTS {
        if register(ports, REGISTER_A)? & UPDATE_IN_PROGRESS != 0 {
            continue;
        }
        let values = raw(ports)?;
        // An update may have begun between two registers: read alike twice, they belong together (MC146818
        // datasheet, update cycle).
        if raw(ports)? == values {
            return Some(decode(values).to_unix());
        }
    }
    log::warn!("the host's clock is never at rest");
    None
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn all_forms_of_the_registers_say_the_same_time() {
        // 2026-11-22 15:04:05 in BCD and binary, 24 and 12 hours.
        let expected = decode([5, 4, 15, 22, 11, 26, 20, 0x06]).to_unix();
        assert_eq!(expected, 1_795_359_845);
        for values in [
            [0x05, 0x04, 0x15, 0x22, 0x11, 0x26, 0x20, 0x02],
            [0x05, 0x04, 0x83, 0x22, 0x11, 0x26, 0x20, 0x00],
            [5, 4, 0x83, 22, 11, 26, 20, 0x04],
            [0x05, 0x04, 0x15, 0x22, 0x11, 0x26, 0x00, 0x02],
        ] {
            assert_eq!(decode(values).to_unix(), expected, "{values:x?}");
        }
    }
}
