//! The device that the exit benchmark's guest expects (`benches/guest/contract.h`): it takes what is written and gives a constant,
//! so that what is measured is the way to a device and back. And as many more devices as one asks for, which the guest leaves alone.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use devices::bus::PortRange;
use devices::capability::{Platform, Width};

use super::device::BoardDevice;

/// Register, doorbell, control.
pub const PORTS: [PortRange; 3] = [
    PortRange { first: 0x900, count: 4 },
    PortRange { first: 0x910, count: 1 },
    PortRange { first: CONTROL, count: 1 },
];
/// Register and doorbell.
pub const MMIO: [(u64, u64); 2] = [(0xd000_0000, 0x1000), (0xd000_1000, 0x1000)];
const CONTROL: u16 = 0x920;
const VALUE: u32 = 0x5a;

/// The device.
pub struct BenchDevice {
    /// HLT is to end at once.
    pub halt_ends: Arc<AtomicBool>,
}

impl BoardDevice for BenchDevice {
    fn port_read(&mut self, _: u16, _: Width, _: &mut dyn Platform) -> u32 {
        VALUE
    }

    fn port_write(&mut self, port: u16, _: Width, value: u32, _: &mut dyn Platform) {
        if port == CONTROL {
            self.halt_ends.store(value & 1 != 0, Ordering::Relaxed);
        }
    }

    fn mmio_read(&mut self, _: u64, _: Width, _: &mut dyn Platform) -> u64 {
        u64::from(VALUE)
    }
}

/// The most extra devices.
pub const EXTRA_MAX: u16 = 4000;

/// An extra device: keeps what is written.
#[derive(Default)]
pub struct ExtraDevice {
    value: u64,
}

/// The port and the page of an extra device. They are not neighbours, so that each is a region of its own, and the pages lie on both
/// sides of the benchmark's device.
pub fn extra(number: u16) -> (PortRange, (u64, u64)) {
    let away = (u64::from(number / 2) + 1) * 0x2000;
    let (below, above) = (MMIO[0].0 - away, MMIO[1].0 + away);
    let gpa = if number.is_multiple_of(2) { above } else { below };
    (PortRange { first: 0x2000 + 2 * number, count: 1 }, (gpa, 0x1000))
}

impl BoardDevice for ExtraDevice {
    fn port_read(&mut self, _: u16, width: Width, _: &mut dyn Platform) -> u32 {
        (self.value & width.mask()) as u32
    }

    fn port_write(&mut self, _: u16, _: Width, value: u32, _: &mut dyn Platform) {
        self.value = u64::from(value);
    }

    fn mmio_read(&mut self, _: u64, width: Width, _: &mut dyn Platform) -> u64 {
        self.value & width.mask()
    }

    fn mmio_write(&mut self, _: u64, _: Width, value: u64, _: &mut dyn Platform) {
        self.value = value;
    }
}
