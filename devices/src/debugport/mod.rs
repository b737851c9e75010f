//! The debug console ports (E9h as Bochs has it, 402h as OVMF uses it) and the POST code port 80h.
//!
//! A byte written to a debug port goes to the backend; a read gives E9h, by which firmware knows the port is
//! there. Port 80h takes anything and says nothing: Linux writes it to pass the time.

use alloc::vec::Vec;

use crate::{
    acpi_entry::AcpiEntry,
    bus,
    capability::{Device, Missing, Platform, PortDevice, PortRange, Present, Width},
    uart::SerialBackend,
};

/// The debug console of Bochs.
pub const PORT_BOCHS: u16 = 0xe9;
/// The debug console of OVMF.
pub const PORT_OVMF: u16 = 0x402;
/// The POST code port.
pub const PORT_POST: u16 = 0x80;

/// What a debug port reads as.
const PRESENT: u8 = 0xe9;

/// A debug console.
pub struct DebugPort<B> {
    backend: B,
}

impl<B: SerialBackend> DebugPort<B> {
    /// A console that writes to `backend`.
    pub fn new(backend: B) -> Self {
        Self { backend }
    }
}

impl<B: SerialBackend + Send> Device for DebugPort<B> {
    const NAME: &'static str = "debug port";
    type Ports = Present;
    type Mmio = Missing;
    type Timer = Missing;
    type Lines = Missing;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        Vec::new()
    }
}

impl<B: SerialBackend + Send> PortDevice for DebugPort<B> {
    fn ports(&self) -> &[PortRange] {
        &[PortRange { first: PORT_BOCHS, count: 1 }, PortRange { first: PORT_OVMF, count: 1 }]
    }

    fn port_read(&mut self, port: u16, width: Width, _platform: &mut dyn Platform) -> u32 {
        // Firmware asks for this value before it writes.
        bus::read_bytes(port, width, |_| PRESENT)
    }

    /// `OUTS` and wide `OUT`s give several characters, lowest byte first.
    fn port_write(&mut self, port: u16, width: Width, value: u32, _platform: &mut dyn Platform) {
        bus::write_bytes(port, width, value, |_, byte| self.backend.transmit(byte));
    }
}

/// The POST code port: keeps the last code for whoever looks at a stopped machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct PostPort {
    code: u8,
}

impl PostPort {
    /// The last code written.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl Device for PostPort {
    const NAME: &'static str = "POST port";
    type Ports = Present;
    type Mmio = Missing;
    type Timer = Missing;
    type Lines = Missing;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        Vec::new()
    }
}

impl PortDevice for PostPort {
    fn ports(&self) -> &[PortRange] {
        &[PortRange { first: PORT_POST, count: 1 }]
    }

    fn port_read(&mut self, _port: u16, width: Width, _platform: &mut dyn Platform) -> u32 {
        width.mask() as u32
    }

    fn port_write(&mut self, _port: u16, _width: Width, value: u32, _platform: &mut dyn Platform) {
        self.code = value as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use alloc::vec::Vec;

    #[test]
    fn writes_reach_the_backend_and_reads_say_present() {
        let (mut out, mut bench) = (Vec::new(), Bench::default());
        let mut port = DebugPort::new(|byte| out.push(byte));
        assert_eq!(port.port_read(PORT_BOCHS, Width::Byte, &mut bench), 0xe9);
        port.port_write(PORT_BOCHS, Width::Byte, u32::from(b'a'), &mut bench);
        port.port_write(PORT_OVMF, Width::Word, u32::from(u16::from_le_bytes(*b"bc")), &mut bench);
        assert_eq!(out, b"abc");
    }

    #[test]
    fn post_port_keeps_the_code() {
        let (mut port, mut bench) = (PostPort::default(), Bench::default());
        port.port_write(PORT_POST, Width::Byte, 0x5a, &mut bench);
        assert_eq!((port.code(), port.port_read(PORT_POST, Width::Byte, &mut bench)), (0x5a, 0xff));
    }
}
