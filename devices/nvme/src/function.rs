//! The controller as a PCI function: configuration space, BAR and interrupts.

use devices::capability::Width;
use devices::disk::Backend;
use devices::guest_memory::GuestMemory;
use devices::pci::config::Identity;
use devices::pci::msix::Place;
use devices::pci::{Bar, BarKind, ConfigSpace, Interrupts, PciFunction, PciPlatform, dwords, spec as pci};

use crate::controller::{Controller, NvmeConfig};
use crate::spec;

/// An NVMe controller on the PCI bus, in a guest whose memory is an `M`.
pub struct Nvme<B, M> {
    space: ConfigSpace,
    interrupts: Interrupts,
    controller: Controller<B, M>,
}

impl<B: Backend, M: GuestMemory> Nvme<B, M> {
    /// A controller with this disk.
    pub fn new(backend: B, memory: M, config: NvmeConfig) -> Self {
        let identity = Identity {
            vendor: spec::VENDOR,
            device: spec::DEVICE,
            revision: 1,
            class: spec::CLASS,
            subsystem_vendor: spec::SUBSYSTEM.0,
            subsystem: spec::SUBSYSTEM.1,
        };
        let bar = Bar { kind: BarKind::Memory64, bytes: spec::BAR_BYTES };
        let mut space = ConfigSpace::new(&identity).with_bar(spec::BAR, bar);
        let controller = Controller::new(backend, memory, config);
        let place = |offset: u64| Place { bar: spec::BAR, offset: offset as u32 };
        // One for the admin queue, and one for each of the others.
        let (table, pending) = (place(spec::TABLE), place(spec::PENDING));
        let interrupts = Interrupts::add(&mut space, controller.config.queues + 1, table, pending);
        Self { space, interrupts, controller }
    }

    /// What does its work.
    pub fn backend(&self) -> &B {
        self.controller.io.backend()
    }

    fn command(&self) -> u16 {
        self.space.read(pci::COMMAND, Width::Word) as u16
    }

    /// Does what can be done now, and tells the driver.
    fn run(&mut self, platform: &mut dyn PciPlatform) {
        // A function that is no bus master may not reach memory (PCI local bus specification 3.0, 6.2.2).
        if self.command() & pci::COMMAND_BUS_MASTER != 0 {
            self.controller.run();
        }
        for vector in self.controller.take_touched() {
            self.interrupts.signal(vector, &self.space, platform);
        }
        self.interrupts.set_pin(self.controller.wants_pin(), &mut self.space, platform);
    }

    fn dword_read(&self, offset: u64) -> u32 {
        // Doorbells read as 0 (3.1.24 leaves it open).
        if offset < spec::DOORBELLS { self.controller.registers.read(offset) } else { 0 }
    }

    fn dword_write(&mut self, offset: u64, value: u32) {
        if offset < spec::DOORBELLS {
            self.controller.register_write(offset, value);
        } else {
            self.controller.doorbell((offset - spec::DOORBELLS) / 4, value);
        }
    }
}

impl<B: Backend, M: GuestMemory + Send> PciFunction for Nvme<B, M> {
    fn name(&self) -> &'static str {
        "NVMe controller"
    }

    fn space(&self) -> &ConfigSpace {
        &self.space
    }

    fn space_mut(&mut self) -> &mut ConfigSpace {
        &mut self.space
    }

    fn config_write(&mut self, offset: u16, width: Width, value: u32, platform: &mut dyn PciPlatform) {
        // First, as all below go by what it says now.
        self.space.write(offset, width, value);
        self.interrupts.config_written(&self.space, platform);
        let vectors = if self.interrupts.are_messages() { self.interrupts.vectors() } else { 1 };
        self.controller.vectors = vectors;
        // It may be a master of the bus again, with commands and results that have waited for that.
        self.run(platform);
    }

    fn bar_read(&mut self, bar: u8, offset: u64, width: Width, _: &mut dyn PciPlatform) -> u64 {
        let registers = || match bar {
            spec::BAR => dwords::read(offset, width, |offset| self.dword_read(offset)),
            _ => width.mask(),
        };
        self.interrupts.read(bar, offset, width).unwrap_or_else(registers)
    }

    fn bar_write(&mut self, bar: u8, offset: u64, width: Width, value: u64, platform: &mut dyn PciPlatform) {
        if bar != spec::BAR || self.interrupts.write(bar, offset, width, value, &self.space, platform) {
            return;
        }
        // Registers are written as aligned dwords and qwords (3.1).
        if dwords::write(offset, width, value, |offset, value| self.dword_write(offset, value)) {
            self.run(platform);
        }
    }

    fn input(&mut self, platform: &mut dyn PciPlatform) {
        self.run(platform);
    }
}
