//! The controller as a PCI function: configuration space, BAR and interrupts.

use devices::capability::Width;
use devices::disk::Backend;
use devices::guest_memory::GuestMemory;
use devices::pci::config::Identity;
use devices::pci::msix::{MsiX, Place};
use devices::pci::{Bar, BarKind, ConfigSpace, PciFunction, PciPlatform, spec as pci};

use crate::controller::{Controller, NvmeConfig};
use crate::spec;

/// An NVMe controller on the PCI bus, in a guest whose memory is an `M`.
pub struct Nvme<B, M> {
    space: ConfigSpace,
    /// `None` if configuration space had no room for it: then the pin is all there is.
    msix: Option<MsiX>,
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
        space.set(pci::INTERRUPT_PIN, &[1]);
        let controller = Controller::new(backend, memory, config);
        let place = |offset| Place { bar: spec::BAR, offset };
        // One for the admin queue, and one for each of the others.
        let (table, pending) = (place(spec::TABLE as u32), place(spec::PENDING as u32));
        let msix = MsiX::add(&mut space, controller.config.queues + 1, table, pending);
        Self { space, msix, controller }
    }

    /// What does its work.
    pub fn backend(&self) -> &B {
        self.controller.io.backend()
    }

    /// Whether interrupts are messages, not the pin's level.
    fn has_messages(&self) -> bool {
        self.msix.as_ref().is_some_and(MsiX::is_enabled)
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
        let has_messages = self.has_messages();
        for vector in self.controller.take_touched() {
            if let Some(msix) = self.msix.as_mut().filter(|_| has_messages) {
                msix.signal(vector, &self.space, platform);
            }
        }
        self.update_pin(platform);
    }

    fn update_pin(&mut self, platform: &mut dyn PciPlatform) {
        let wants = !self.has_messages() && self.controller.wants_pin();
        // The bit shows the interrupt even while the pin is switched off (PCI local bus specification 3.0,
        // 6.2.3).
        let interrupt = if wants { pci::STATUS_INTERRUPT } else { 0 };
        self.space.set(pci::STATUS, &[pci::STATUS_CAPABILITIES | interrupt]);
        platform.set_intx(wants && self.command() & pci::COMMAND_INTX_OFF == 0);
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

    fn config_read(&mut self, offset: u16, width: Width, _: &mut dyn PciPlatform) -> u32 {
        self.space.read(offset, width)
    }

    fn config_write(&mut self, offset: u16, width: Width, value: u32, platform: &mut dyn PciPlatform) {
        // First, as all below go by what it says now.
        self.space.write(offset, width, value);
        if let Some(msix) = &mut self.msix {
            msix.config_written(&self.space, platform);
        }
        let vectors = self.msix.as_ref().filter(|msix| msix.is_enabled()).map_or(1, MsiX::vectors);
        self.controller.vectors = vectors;
        // It may be a master of the bus again, with commands and results that have waited for that.
        self.run(platform);
    }

    fn bar_read(&mut self, bar: u8, offset: u64, width: Width, _: &mut dyn PciPlatform) -> u64 {
        match (bar, offset, &self.msix) {
            (spec::BAR, 0..spec::TABLE, _) => {
                let (first, shift) = (offset & !3, 8 * (offset & 3));
                let low = u64::from(self.dword_read(first));
                let high = if width == Width::Qword { self.dword_read(first + 4) } else { 0 };
                (low | u64::from(high) << 32) >> shift & width.mask()
            }
            (spec::BAR, spec::TABLE..spec::PENDING, Some(msix)) => {
                msix.table_read(offset - spec::TABLE, width)
            }
            (spec::BAR, spec::PENDING.., Some(msix)) => msix.pending_read(offset - spec::PENDING, width),
            (spec::BAR, ..) => 0,
            _ => width.mask(),
        }
    }

    fn bar_write(&mut self, bar: u8, offset: u64, width: Width, value: u64, platform: &mut dyn PciPlatform) {
        match (bar, offset) {
            (spec::BAR, 0..spec::TABLE) => {
                // Registers are written as aligned dwords and qwords (3.1); a qword is two dwords.
                if width.bytes() < 4 || !offset.is_multiple_of(width.bytes()) {
                    return;
                }
                self.dword_write(offset, value as u32);
                if width == Width::Qword {
                    self.dword_write(offset + 4, (value >> 32) as u32);
                }
                self.run(platform);
            }
            (spec::BAR, spec::TABLE..spec::PENDING) => {
                if let Some(msix) = &mut self.msix {
                    msix.table_write(offset - spec::TABLE, width, value, &self.space, platform);
                }
            }
            _ => {}
        }
    }

    fn input(&mut self, platform: &mut dyn PciPlatform) {
        self.run(platform);
    }
}
