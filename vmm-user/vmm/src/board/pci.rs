//! The PCI bus on the board: the host bridge's ports and ECAM as one device, and each function as a device of
//! its own, with a lock of its own.
//!
//! A configuration access takes the host's lock and then the function's. An access to a BAR takes the
//! function's alone.

use alloc::boxed::Box;

use devices::capability::{Platform, PowerEvent, Width};
use devices::pci::{Bus, ConfigSpace, PciFunction, PciHost, PciPlatform};

use super::BoardAccess;
use super::device::{BoardDevice, Claims};

/// The host bridge's ways into configuration space.
#[derive(Default)]
pub struct Host(PciHost);

impl BoardDevice for Host {
    fn claims(&self) -> Claims {
        Claims {
            name: PciHost::NAME,
            ports: PciHost::PORTS.into(),
            ranges: PciHost::RANGES.into(),
            lines: [].into(),
            is_timed: false,
            acpi: PciHost::acpi(),
        }
    }

    fn port_read(&mut self, port: u16, width: Width, access: &mut BoardAccess<'_>) -> u32 {
        self.0.port_read(port, width, access)
    }

    fn port_write(&mut self, port: u16, width: Width, value: u32, access: &mut BoardAccess<'_>) {
        self.0.port_write(port, width, value, access);
    }

    fn mmio_read(&mut self, offset: u64, width: Width, access: &mut BoardAccess<'_>) -> u64 {
        PciHost::ecam_read(offset, width, access)
    }

    fn mmio_write(&mut self, offset: u64, width: Width, value: u64, access: &mut BoardAccess<'_>) {
        PciHost::ecam_write(offset, width, value, access);
    }

    fn deadline_ns(&self) -> Option<u64> {
        None
    }

    fn expire(&mut self, _: &mut BoardAccess<'_>) {}

    fn input(&mut self, _: &mut BoardAccess<'_>) {}
}

impl Bus for BoardAccess<'_> {
    fn config_read(&mut self, devfn: u8, offset: u16, width: Width) -> Option<u32> {
        // The host's lock is held here and the function's comes inside it; no function takes the host's.
        self.board.config_read(devfn, offset, width, self)
    }

    fn config_write(&mut self, devfn: u8, offset: u16, width: Width, value: u32) {
        self.board.config_write(devfn, offset, width, value, self);
    }
}

/// A function on the bus.
pub struct Function {
    function: Box<dyn PciFunction>,
    wire: Wire,
}

/// Where the interrupt pin of a function leads.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// The line.
    pub line: u8,
    /// The function's number among those that share lines.
    pub number: u8,
}

/// What a function reaches.
struct Surroundings<'a, 'b> {
    access: &'a mut BoardAccess<'b>,
    wire: Wire,
}

impl Platform for Surroundings<'_, '_> {
    fn now_ns(&self) -> u64 {
        self.access.now_ns()
    }

    fn set_line(&mut self, line: u8, level: bool) {
        self.access.set_line(line, level);
    }

    fn power(&mut self, event: PowerEvent) {
        self.access.power(event);
    }
}

impl PciPlatform for Surroundings<'_, '_> {
    fn send_msi(&mut self, address: u64, data: u32) {
        self.access.send_msi(address, data);
    }

    fn set_intx(&mut self, level: bool) {
        self.access.set_intx(self.wire.line, self.wire.number, level);
    }
}

impl Function {
    /// A function whose interrupt pin leads there.
    pub fn new(function: Box<dyn PciFunction>, wire: Wire) -> Self {
        Self { function, wire }
    }

    /// Its configuration space.
    pub fn space(&self) -> &ConfigSpace {
        self.function.space()
    }

    /// A configuration read.
    pub fn config_read(&mut self, offset: u16, width: Width, access: &mut BoardAccess<'_>) -> u32 {
        self.function.config_read(offset, width, &mut Surroundings { access, wire: self.wire })
    }

    /// A configuration write.
    pub fn config_write(&mut self, offset: u16, width: Width, value: u32, access: &mut BoardAccess<'_>) {
        self.function.config_write(offset, width, value, &mut Surroundings { access, wire: self.wire });
    }

    /// A load from a BAR.
    pub fn bar_read(&mut self, bar: u8, offset: u64, width: Width, access: &mut BoardAccess<'_>) -> u64 {
        self.function.bar_read(bar, offset, width, &mut Surroundings { access, wire: self.wire })
    }

    /// A store to a BAR.
    pub fn bar_write(
        &mut self,
        bar: u8,
        offset: u64,
        width: Width,
        value: u64,
        access: &mut BoardAccess<'_>,
    ) {
        self.function.bar_write(bar, offset, width, value, &mut Surroundings { access, wire: self.wire });
    }
}

/// On its own it has nothing on the board: it is reached through the bus.
impl BoardDevice for Function {
    fn claims(&self) -> Claims {
        Claims {
            name: self.function.name(),
            ports: [].into(),
            ranges: [].into(),
            lines: [].into(),
            is_timed: false,
            acpi: [].into(),
        }
    }

    fn as_function(&mut self) -> Option<&mut Function> {
        Some(self)
    }

    fn port_read(&mut self, _: u16, width: Width, _: &mut BoardAccess<'_>) -> u32 {
        width.mask() as u32
    }

    fn port_write(&mut self, _: u16, _: Width, _: u32, _: &mut BoardAccess<'_>) {}

    fn mmio_read(&mut self, _: u64, width: Width, _: &mut BoardAccess<'_>) -> u64 {
        width.mask()
    }

    fn mmio_write(&mut self, _: u64, _: Width, _: u64, _: &mut BoardAccess<'_>) {}

    fn deadline_ns(&self) -> Option<u64> {
        None
    }

    fn expire(&mut self, _: &mut BoardAccess<'_>) {}

    fn input(&mut self, access: &mut BoardAccess<'_>) {
        self.function.input(&mut Surroundings { access, wire: self.wire });
    }
}
