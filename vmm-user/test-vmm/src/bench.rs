//! The device that the exit benchmark's guest expects (`benches/guest/contract.h`): it takes what is written
//! and gives a constant, so that what is measured is the way to a device and back. And as many more devices
//! as one asks for, which the guest leaves alone.

use alloc::vec::Vec;
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};

use devices::acpi_entry::AcpiEntry;
use devices::capability::{
    Device, Missing, MmioDevice, MmioRange, Platform, PortDevice, PortRange, Present, Width,
};
use vmm::HaltPolicy;

/// Register, doorbell, control.
const PORTS: [PortRange; 3] = [
    PortRange { first: 0x900, count: 4 },
    PortRange { first: 0x910, count: 1 },
    PortRange { first: CONTROL, count: 1 },
];
/// Register and doorbell.
const RANGES: [MmioRange; 2] =
    [MmioRange { gpa: 0xd000_0000, bytes: 0x1000 }, MmioRange { gpa: 0xd000_1000, bytes: 0x1000 }];
const CONTROL: u16 = 0x920;
const VALUE: u32 = 0x5a;

/// The guest has asked by CONTROL that HLT end at once.
static HALT_ENDS: AtomicBool = AtomicBool::new(false);

/// HLT waits unless the device's guest has asked for something else.
pub struct Halt;

impl HaltPolicy for Halt {
    fn waits(&self) -> bool {
        !HALT_ENDS.load(Ordering::Relaxed)
    }
}

/// The device.
pub struct BenchDevice;

impl Device for BenchDevice {
    const NAME: &'static str = "benchmark";
    type Ports = Present;
    type Mmio = Present;
    type Timer = Missing;
    type Lines = Missing;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        Vec::new()
    }
}

impl PortDevice for BenchDevice {
    fn ports(&self) -> &[PortRange] {
        &PORTS
    }

    fn port_read(&mut self, _: u16, _: Width, _: &mut dyn Platform) -> u32 {
        VALUE
    }

    fn port_write(&mut self, port: u16, _: Width, value: u32, _: &mut dyn Platform) {
        // So that an exit of HLT can be measured: with a wait there would be an interrupt in each.
        if port == CONTROL {
            HALT_ENDS.store(value & 1 != 0, Ordering::Relaxed);
        }
    }
}

impl MmioDevice for BenchDevice {
    fn ranges(&self) -> &[MmioRange] {
        &RANGES
    }

    fn mmio_read(&mut self, _: u64, _: Width, _: &mut dyn Platform) -> u64 {
        u64::from(VALUE)
    }

    fn mmio_write(&mut self, _: u64, _: Width, _: u64, _: &mut dyn Platform) {}
}

/// The most extra devices.
pub const EXTRA_MAX: u16 = 4000;

/// An extra device: keeps what is written.
pub struct ExtraDevice {
    port: PortRange,
    range: MmioRange,
    value: u64,
}

impl ExtraDevice {
    /// The device of a number. Ports and pages are not neighbours, so that each is a region of its own, and
    /// the pages lie on both sides of the benchmark's device.
    pub fn new(number: u16) -> Self {
        let away = (u64::from(number / 2) + 1) * 0x2000;
        let [below, above] = RANGES.map(|range| range.gpa);
        let gpa = if number.is_multiple_of(2) { above + away } else { below - away };
        let port = PortRange { first: 0x2000 + 2 * number, count: 1 };
        Self { port, range: MmioRange { gpa, bytes: 0x1000 }, value: 0 }
    }
}

impl Device for ExtraDevice {
    const NAME: &'static str = "extra";
    type Ports = Present;
    type Mmio = Present;
    type Timer = Missing;
    type Lines = Missing;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        Vec::new()
    }
}

impl PortDevice for ExtraDevice {
    fn ports(&self) -> &[PortRange] {
        slice::from_ref(&self.port)
    }

    fn port_read(&mut self, _: u16, width: Width, _: &mut dyn Platform) -> u32 {
        (self.value & width.mask()) as u32
    }

    fn port_write(&mut self, _: u16, _: Width, value: u32, _: &mut dyn Platform) {
        self.value = u64::from(value);
    }
}

impl MmioDevice for ExtraDevice {
    fn ranges(&self) -> &[MmioRange] {
        slice::from_ref(&self.range)
    }

    fn mmio_read(&mut self, _: u64, width: Width, _: &mut dyn Platform) -> u64 {
        self.value & width.mask()
    }

    fn mmio_write(&mut self, _: u64, _: Width, value: u64, _: &mut dyn Platform) {
        self.value = value;
    }
}
