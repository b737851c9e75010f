//! Accesses to the host's ports, within the window that a handle names; and which windows there may be.

use core::ops::Range;

use vcpu_abi::status::Status;

use crate::cpu::ports;
use crate::task::handle::HostPorts;

/// Ports that are nobody's but the kernel's.
///
/// By the interrupt controllers, the timer and configuration space a process would take what the kernel
/// relies on; by the others it could have the host's devices write to any memory. The host may have more of
/// the latter, at ports that it gives to PCI functions: who writes the configuration has to know them.
const KEPT: [Range<u32>; 10] = [
    // The ISA DMA controllers with their page registers, and the port of POST codes between them left out
    // (Intel ICH9, 13.2 and table 13-2).
    0x00..0x20,
    0x81..0x90,
    0xc0..0xe0,
    // Interrupt controllers.
    0x20..0x22,
    0xa0..0xa2,
    // The timer, and its gate.
    0x40..0x44,
    0x61..0x62,
    // The debug console, where the kernel's log goes.
    0x402..0x403,
    // QEMU's firmware configuration, whose DMA writes anywhere (QEMU, docs/specs/fw_cfg).
    0x510..0x51c,
    // Configuration space, and the reset between its registers.
    0xcf8..0xd00,
];

/// The window of so many ports from one on, if all of it may be a process's.
///
/// # Errors
/// BadArgument: none, or past the last port. NoRight: some of it is the kernel's.
pub fn window(first: u32, count: u32) -> Result<HostPorts, Status> {
    let end = first.checked_add(count).filter(|end| count > 0 && *end <= 0x1_0000);
    let end = end.ok_or(Status::BadArgument)?;
    if KEPT.iter().any(|kept| first < kept.end && kept.start < end) {
        return Err(Status::NoRight);
    }
    // All 65536 cannot come here: some of them are kept.
    let (first, count) = (u16::try_from(first), u16::try_from(count));
    match (first, count) {
        (Ok(first), Ok(count)) => Ok(HostPorts { first, count }),
        _ => Err(Status::BadArgument),
    }
}

/// The port that an access of a width at an offset of a window is to: all of it lies in the window.
#[inline]
pub fn port(window: HostPorts, offset: u32, width: u32) -> Result<u16, Status> {
    let end = offset.checked_add(width).ok_or(Status::BadArgument)?;
    if !matches!(width, 1 | 2 | 4) || end > u32::from(window.count) {
        return Err(Status::BadArgument);
    }
    window.first.checked_add(offset as u16).ok_or(Status::BadArgument)
}

/// IN, of a width that [`port`] let pass.
#[inline]
pub fn read(port: u16, width: u32) -> u32 {
    match width {
        1 => u32::from(ports::read_u8(port)),
        2 => u32::from(ports::read_u16(port)),
        _ => ports::read_u32(port),
    }
}

/// OUT, of a width that [`port`] let pass.
#[inline]
pub fn write(port: u16, width: u32, value: u32) {
    match width {
        1 => ports::write_u8(port, value as u8),
        2 => ports::write_u16(port, value as u16),
        _ => ports::write_u32(port, value),
    }
}

#[cfg(test)]
mod tests;
