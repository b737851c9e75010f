//! Configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2), ECAM (PCI Express 3.0, 7.2.2), and where things
//! are.

use crate::capability::PortRange;

/// CONFIG_ADDRESS, a dword.
pub const CONFIG_ADDRESS: u16 = 0xcf8;
/// CONFIG_DATA, four bytes.
pub const CONFIG_DATA: u16 = 0xcfc;
/// What to claim: CONFIG_ADDRESS without CF9h, the reset register, and CONFIG_DATA.
pub const PORTS: &[PortRange] = &[
    PortRange { first: CONFIG_ADDRESS, count: 1 },
    PortRange { first: CONFIG_ADDRESS + 2, count: 2 },
    PortRange { first: CONFIG_DATA, count: 4 },
];
/// CONFIG_ADDRESS: configuration access enabled.
pub const ADDRESS_ENABLE: u32 = 1 << 31;
/// CONFIG_ADDRESS: the bits that are kept. Reserved ones read as 0.
pub const ADDRESS_KEPT: u32 = 0x80ff_fffc;

/// Where ECAM is.
pub const ECAM_GPA: u64 = 0xe000_0000;
/// All 256 buses, 1 MiB each.
pub const ECAM_BYTES: u64 = 256 << 20;

/// First byte of the window for 32-bit BARs: after ECAM.
pub const WINDOW_GPA: u32 = 0xf000_0000;
/// Last byte of that window: before the I/O APIC.
pub const WINDOW_LAST_GPA: u32 = 0xfebf_ffff;

/// The first of the I/O APIC's inputs for PCI interrupts; INTA of slot 0 has it.
pub const INTX_FIRST_LINE: u8 = 16;
/// How many inputs the slots' pins are spread over: those that are not the HPET's as well.
pub const INTX_LINES: u8 = 4;

/// The line of an interrupt pin (0 for INTA): the one place that says so, for the devices and for the ACPI
/// `_PRT`.
pub const fn intx_line(slot: u8, pin: u8) -> u8 {
    INTX_FIRST_LINE + (slot.wrapping_add(pin)) % INTX_LINES
}

/// The command register, a word.
pub const COMMAND: u16 = 0x04;
/// Command: memory accesses are decoded.
pub const COMMAND_MEMORY: u16 = 1 << 1;
/// Command: the function may reach memory by itself.
pub const COMMAND_BUS_MASTER: u16 = 1 << 2;
/// Command: the interrupt pin stays low.
pub const COMMAND_INTX_OFF: u16 = 1 << 10;
/// The status register's low byte.
pub const STATUS: u16 = 0x06;
/// Status: the function wants an interrupt by its pin.
pub const STATUS_INTERRUPT: u8 = 1 << 3;
/// Status: there are capabilities.
pub const STATUS_CAPABILITIES: u8 = 1 << 4;
/// Where the address of the first capability is.
pub const CAPABILITIES: u16 = 0x34;
/// Interrupt line: what firmware says of the pin's way to a PIC or an I/O APIC.
pub const INTERRUPT_LINE: u16 = 0x3c;
/// Interrupt pin: 1 for INTA, 0 for none.
pub const INTERRUPT_PIN: u16 = 0x3d;
