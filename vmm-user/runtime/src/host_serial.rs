//! A serial port of the host's, a 16550 (National Semiconductor PC16550D), behind a handle to its ports. It
//! may be slow, or lie.

use vcpu_abi::operation::{Handle, PortRead, PortWrite};
use vcpu_abi::status::Status;

use crate::call;

/// Registers, as offsets from the port's base.
pub mod register {
    #![allow(missing_docs, reason = "the names are the data sheet's")]
    pub const DATA: u32 = 0;
    pub const INTERRUPT_ENABLE: u32 = 1;
    pub const FIFO_CONTROL: u32 = 2;
    pub const LINE_CONTROL: u32 = 3;
    pub const MODEM_CONTROL: u32 = 4;
    pub const LINE_STATUS: u32 = 5;
    pub const SCRATCH: u32 = 7;
}

/// Line status: input is there.
pub const DATA_READY: u32 = 1 << 0;
/// Line status: the transmitter's FIFO is empty.
pub const TRANSMITTER_EMPTY: u32 = 1 << 5;
/// Bytes that the transmitter takes when it is empty.
pub const FIFO_BYTES: usize = 16;

/// What opens the port, in order: 8 data bits, FIFO on, interrupts for input. Register and value.
pub const OPENING: [(u32, u32); 4] = [
    (register::LINE_CONTROL, 0x03),
    (register::FIFO_CONTROL, 0x07),
    (register::MODEM_CONTROL, 0x0b),
    (register::INTERRUPT_ENABLE, 0x01),
];

/// Reads a register: a byte.
///
/// # Errors
/// The kernel's, if the process may not.
pub fn read(ports: Handle, offset: u32) -> Result<u32, Status> {
    call(ports, PortRead { offset, width: 1, value: 0, reserved: 0 }).map(|read| read.value & 0xff)
}

/// Writes a register.
///
/// # Errors
/// As [`read`].
pub fn write(ports: Handle, offset: u32, value: u32) -> Result<(), Status> {
    call(ports, PortWrite { offset, width: 1, value, reserved: 0 }).map(|_| ())
}
