//! Power management registers (ACPI 6.5, 4.8.3) where an ICH9 has them, and the reset register (ICH9
//! datasheet, 13.7.5).

use crate::capability::PortRange;
use bitflags::bitflags;

/// PM1a event block: status (2 bytes), enable (2 bytes).
pub const PM1A_EVENT: u16 = 0x600;
/// PM1a control block (2 bytes).
pub const PM1A_CONTROL: u16 = 0x604;
/// PM timer (4 bytes).
pub const PM_TIMER: u16 = 0x608;
/// From [`PM1A_EVENT`] to the end of the timer.
pub const BLOCK_PORTS: u16 = 0x0c;
/// SMI command port and, next to it, its data port.
pub const SMI_COMMAND: u16 = 0xb2;
/// [`SMI_COMMAND`]: sets SCI_EN.
pub const ACPI_ENABLE: u8 = 0x02;
/// [`SMI_COMMAND`]: clears SCI_EN.
pub const ACPI_DISABLE: u8 = 0x03;
/// The reset control register.
pub const RESET_CONTROL: u16 = 0xcf9;
/// [`RESET_CONTROL`]: its transition from 0 to 1 resets.
pub const RESET_CPU: u8 = 0x04;
/// What the FADT tells the guest to write there: a full reset.
pub const RESET_VALUE: u8 = 0x0e;
/// What to claim.
pub const PORTS: &[PortRange] = &[
    PortRange { first: PM1A_EVENT, count: BLOCK_PORTS },
    PortRange { first: SMI_COMMAND, count: 2 },
    PortRange { first: RESET_CONTROL, count: 1 },
];
/// The interrupt line of the SCI.
pub const SCI_LINE: u8 = 9;
/// SLP_TYP of S5, as the DSDT's `_S5` says it.
pub const SLEEP_TYPE_S5: u8 = 7;
/// The PM timer's frequency.
pub const TIMER_HZ: u64 = 3_579_545;

bitflags! {
    /// PM1 status register: written with ones to clear.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Status: u16 {
        /// The timer's most significant bit changed.
        const TIMER = 1 << 0;
        /// A bus master asked for the bus.
        const BUS_MASTER = 1 << 4;
        /// The global lock was released.
        const GLOBAL_LOCK = 1 << 5;
        /// The power button was pressed.
        const POWER_BUTTON = 1 << 8;
        /// The sleep button was pressed.
        const SLEEP_BUTTON = 1 << 9;
        /// The RTC's alarm.
        const RTC = 1 << 10;
        /// Woken from sleep.
        const WAKE = 1 << 15;
    }

    /// PM1 enable register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Enable: u16 {
        /// Of [`Status::TIMER`].
        const TIMER = 1 << 0;
        /// Of [`Status::GLOBAL_LOCK`].
        const GLOBAL_LOCK = 1 << 5;
        /// Of [`Status::POWER_BUTTON`].
        const POWER_BUTTON = 1 << 8;
        /// Of [`Status::SLEEP_BUTTON`].
        const SLEEP_BUTTON = 1 << 9;
        /// Of [`Status::RTC`].
        const RTC = 1 << 10;
    }
}

/// PM1 control: events raise an SCI. Set and cleared by the firmware only.
pub const CONTROL_SCI_EN: u16 = 1 << 0;
/// PM1 control: bits that are kept as written (BM_RLD and SLP_TYP).
pub const CONTROL_KEPT: u16 = 1 << 1 | 7 << 10;
/// PM1 control: enters the sleep state in SLP_TYP. Reads as 0.
pub const CONTROL_SLP_EN: u16 = 1 << 13;
/// PM1 control: where SLP_TYP starts.
pub const CONTROL_SLP_TYP_SHIFT: u32 = 10;
