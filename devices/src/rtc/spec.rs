//! The registers of an MC146818A as an ICH9 has it (MC146818A datasheet; ICH9 datasheet, 13.6) and the CMOS
//! bytes that PC firmware keeps in its memory.

use crate::capability::PortRange;

/// Index register (bits 6:0) and NMI mask (bit 7); write only.
pub const INDEX: u16 = 0x70;
/// Data register.
pub const DATA: u16 = 0x71;
/// Index register of the upper 128 bytes.
pub const EXTENDED_INDEX: u16 = 0x72;
/// Data register of the upper 128 bytes.
pub const EXTENDED_DATA: u16 = 0x73;
/// What to claim.
pub const PORTS: &[PortRange] = &[PortRange { first: INDEX, count: 4 }];
/// The interrupt line.
pub const LINE: u8 = 8;

/// Index: seconds.
pub const SECONDS: u8 = 0x00;
/// Index: seconds of the alarm.
pub const SECONDS_ALARM: u8 = 0x01;
/// Index: minutes.
pub const MINUTES: u8 = 0x02;
/// Index: minutes of the alarm.
pub const MINUTES_ALARM: u8 = 0x03;
/// Index: hours; bit 7 is PM in 12-hour mode.
pub const HOURS: u8 = 0x04;
/// Index: hours of the alarm.
pub const HOURS_ALARM: u8 = 0x05;
/// Index: day of the week, 1 for Sunday.
pub const WEEKDAY: u8 = 0x06;
/// Index: day of the month, from 1.
pub const DAY: u8 = 0x07;
/// Index: month, from 1.
pub const MONTH: u8 = 0x08;
/// Index: year of the century.
pub const YEAR: u8 = 0x09;
/// Index: register A.
pub const REGISTER_A: u8 = 0x0a;
/// Index: register B.
pub const REGISTER_B: u8 = 0x0b;
/// Index: register C, the interrupt flags; reading clears it.
pub const REGISTER_C: u8 = 0x0c;
/// Index: register D.
pub const REGISTER_D: u8 = 0x0d;
/// Index: century, as the FADT says.
pub const CENTURY: u8 = 0x32;

/// Register A: an update is near.
pub const A_UIP: u8 = 0x80;
/// Register A: divider; 010b for running from 32,768 Hz, 11xb for reset.
pub const A_DIVIDER: u8 = 0x70;
/// Register A: divider held in reset.
pub const A_DIVIDER_RESET: u8 = 0x60;
/// Register A: periodic rate.
pub const A_RATE: u8 = 0x0f;
/// Register A after power-on: running, 1,024 Hz.
pub const A_RESET: u8 = 0x26;

/// Register B: updates inhibited.
pub const B_SET: u8 = 0x80;
/// Register B: periodic interrupt enable.
pub const B_PIE: u8 = 0x40;
/// Register B: alarm interrupt enable.
pub const B_AIE: u8 = 0x20;
/// Register B: update-ended interrupt enable.
pub const B_UIE: u8 = 0x10;
/// Register B: binary, not BCD.
pub const B_BINARY: u8 = 0x04;
/// Register B: 24-hour mode.
pub const B_24_HOUR: u8 = 0x02;

/// Register C: an enabled interrupt is pending.
pub const C_IRQF: u8 = 0x80;
/// Register C: periodic.
pub const C_PF: u8 = 0x40;
/// Register C: alarm.
pub const C_AF: u8 = 0x20;
/// Register C: update ended.
pub const C_UF: u8 = 0x10;

/// Register D: the battery is good.
pub const D_VRT: u8 = 0x80;

/// How long before the update UIP rises (datasheet: t_BUC, 244 microseconds).
pub const UIP_NS: u64 = 244_000;
