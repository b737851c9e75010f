//! A device that behaves like memory, for a guest that compares the two
//! (`vmm-user/tests-guest/mmio-forms.c`): what is written at an address is read there, in any width. And a
//! register of the same kind behind ports, for INS and OUTS.

use alloc::boxed::Box;
use alloc::vec::Vec;

use devices::acpi_entry::AcpiEntry;
use devices::capability::{
    Device, Missing, MmioDevice, MmioRange, Platform, PortDevice, PortRange, Present, Width,
};

const BYTES: usize = 0x4000;
/// Where it is: four pages.
const RANGES: [MmioRange; 1] = [MmioRange { gpa: 0xd010_0000, bytes: BYTES as u64 }];
/// The register: a doubleword, at its first port.
const PORTS: [PortRange; 1] = [PortRange { first: 0x930, count: 4 }];

/// The device.
pub struct MemoryDevice {
    bytes: Box<[u8; BYTES]>,
    register: u32,
}

impl Default for MemoryDevice {
    /// All zero.
    fn default() -> Self {
        Self { bytes: Box::new([0; BYTES]), register: 0 }
    }
}

impl MemoryDevice {
    fn at(&mut self, offset: u64, width: Width) -> &mut [u8] {
        let start = usize::try_from(offset).unwrap_or(BYTES);
        let end = start.saturating_add(width.bytes() as usize);
        self.bytes.get_mut(start..end).unwrap_or_default()
    }
}

impl Device for MemoryDevice {
    const NAME: &'static str = "memory";
    type Ports = Present;
    type Mmio = Present;
    type Timer = Missing;
    type Lines = Missing;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        Vec::new()
    }
}

impl PortDevice for MemoryDevice {
    fn ports(&self) -> &[PortRange] {
        &PORTS
    }

    fn port_read(&mut self, _: u16, width: Width, _: &mut dyn Platform) -> u32 {
        self.register & width.mask() as u32
    }

    fn port_write(&mut self, _: u16, width: Width, value: u32, _: &mut dyn Platform) {
        let mask = width.mask() as u32;
        self.register = self.register & !mask | value & mask;
    }
}

impl MmioDevice for MemoryDevice {
    fn ranges(&self) -> &[MmioRange] {
        &RANGES
    }

    fn mmio_read(&mut self, offset: u64, width: Width, _: &mut dyn Platform) -> u64 {
        let mut value = [0; 8];
        value.iter_mut().zip(self.at(offset, width)).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(value)
    }

    fn mmio_write(&mut self, offset: u64, width: Width, value: u64, _: &mut dyn Platform) {
        self.at(offset, width).iter_mut().zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
    }
}
