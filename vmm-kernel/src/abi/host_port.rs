//! Accesses to the host's ports, within the window that a handle names.

use vcpu_abi::status::Status;

use crate::cpu::ports;
use crate::task::handle::HostPorts;

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
