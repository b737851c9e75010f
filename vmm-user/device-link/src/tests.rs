//! Messages by themselves, the device's end, and the VMM's end against a process that does what a test says.

use alloc::vec::Vec;

use devices::acpi_entry::{AcpiEntry, Resource};
use devices::capability::{
    Device, InputDevice, LineDevice, MmioDevice, MmioRange, Platform, PortDevice, PortRange, PowerEvent,
    Present, TimedDevice, Width,
};

mod header;
mod messages;
mod remote;
mod serve;

const PORTS: PortRange = PortRange { first: 0x500, count: 4 };
const RANGE: MmioRange = MmioRange { gpa: 0xd000_0000, bytes: 0x1000 };
const LINE: u8 = 10;
/// Ports of the probe: what is written to the first drives the line; to the second, sets the deadline.
const DRIVE: u16 = PORTS.first;
const ARM: u16 = PORTS.first + 1;

/// A device with everything, which keeps what is done to it.
#[derive(Debug, Default)]
struct Probe {
    value: u64,
    deadline_ns: Option<u64>,
    inputs: u32,
    expired: u32,
    seen_ns: u64,
}

impl Device for Probe {
    const NAME: &'static str = "probe";
    type Ports = Present;
    type Mmio = Present;
    type Timer = Present;
    type Lines = Present;
    type Input = Present;

    fn acpi(&self) -> Vec<AcpiEntry> {
        AcpiEntry::isa(b"PRB_", b"PNP0C02", &[Resource::Ports(PORTS), Resource::Line(LINE)])
    }
}

impl PortDevice for Probe {
    fn ports(&self) -> &[PortRange] {
        &[PORTS]
    }

    fn port_read(&mut self, port: u16, _: Width, platform: &mut dyn Platform) -> u32 {
        self.seen_ns = platform.now_ns();
        u32::from(port) << 16 | self.value as u32
    }

    fn port_write(&mut self, port: u16, _: Width, value: u32, platform: &mut dyn Platform) {
        match port {
            // A bit for each change, from the lowest on; the highest one set is where it ends.
            DRIVE => (0..31).take_while(|bit| value >> bit > 1).for_each(|bit| {
                platform.set_line(LINE, value >> bit & 1 != 0);
            }),
            ARM => self.deadline_ns = Some(value.into()),
            _ => self.value = value.into(),
        }
    }
}

impl MmioDevice for Probe {
    fn ranges(&self) -> &[MmioRange] {
        &[RANGE]
    }

    fn mmio_read(&mut self, offset: u64, _: Width, _: &mut dyn Platform) -> u64 {
        self.value ^ offset
    }

    fn mmio_write(&mut self, offset: u64, _: Width, value: u64, _: &mut dyn Platform) {
        self.value = value ^ offset;
    }
}

impl TimedDevice for Probe {
    fn deadline_ns(&self) -> Option<u64> {
        self.deadline_ns
    }

    fn expire(&mut self, platform: &mut dyn Platform) {
        if self.deadline_ns.is_some_and(|end| end <= platform.now_ns()) {
            self.deadline_ns = None;
            self.expired += 1;
        }
    }
}

impl LineDevice for Probe {
    fn lines(&self) -> &[u8] {
        &[LINE]
    }
}

impl InputDevice for Probe {
    fn input(&mut self, _: &mut dyn Platform) {
        self.inputs += 1;
    }
}

/// Stands in for the board.
#[derive(Debug, Default)]
struct Desk {
    now_ns: u64,
    lines: Vec<(u8, bool)>,
}

impl Platform for Desk {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn set_line(&mut self, line: u8, level: bool) {
        self.lines.push((line, level));
    }

    fn power(&mut self, event: PowerEvent) {
        panic!("{event:?} by a device in another process");
    }
}
