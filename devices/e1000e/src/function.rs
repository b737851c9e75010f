//! The controller as a PCI function: configuration space, BARs and interrupts.

use devices::capability::Width;
use devices::guest_memory::GuestMemory;
use devices::network::Link;
use devices::pci::config::Identity;
use devices::pci::msix::{MsiX, Place};
use devices::pci::{Bar, BarKind, ConfigSpace, PciFunction, PciPlatform, spec as pci};

use crate::interrupts;
use crate::nic::Nic;
use crate::spec;

/// A network controller on the PCI bus, in a guest whose memory is an `M`.
pub struct E1000e<L, M> {
    space: ConfigSpace,
    /// `None` if configuration space had no room for it: then the pin is all there is.
    msix: Option<MsiX>,
    nic: Nic<L, M>,
}

impl<L: Link, M: GuestMemory> E1000e<L, M> {
    /// A controller at the end of a link, with this MAC address.
    pub fn new(link: L, memory: M, address: [u8; 6]) -> Self {
        let identity = Identity {
            vendor: spec::VENDOR,
            device: spec::DEVICE,
            revision: 0,
            class: spec::CLASS,
            subsystem_vendor: spec::VENDOR,
            subsystem: 0,
        };
        let bar = |bytes| Bar { kind: BarKind::Memory32, bytes };
        let mut space = ConfigSpace::new(&identity)
            .with_bar(spec::REGISTERS.0, bar(spec::REGISTERS.1))
            .with_bar(spec::MESSAGES.0, bar(spec::MESSAGES.1));
        space.set(pci::INTERRUPT_PIN, &[1]);
        let place = |offset| Place { bar: spec::MESSAGES.0, offset };
        let msix = MsiX::add(&mut space, spec::VECTORS, place(0), place(spec::PENDING as u32));
        Self { space, msix, nic: Nic::new(link, memory, address) }
    }

    /// The other end of the link.
    pub fn link(&self) -> &L {
        self.nic.link()
    }

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
            self.nic.run();
        }
        self.update(platform);
    }

    fn update(&mut self, platform: &mut dyn PciPlatform) {
        if let Some(msix) = self.msix.as_mut().filter(|msix| msix.is_enabled()) {
            let vectors = interrupts::take_vectors(&mut self.nic.registers);
            for vector in (0..spec::VECTORS).filter(|vector| vectors >> vector & 1 != 0) {
                msix.signal(vector, &self.space, platform);
            }
        }
        let wants = !self.has_messages() && interrupts::wants_pin(&self.nic.registers);
        let interrupt = if wants { pci::STATUS_INTERRUPT } else { 0 };
        self.space.set(pci::STATUS, &[pci::STATUS_CAPABILITIES | interrupt]);
        platform.set_intx(wants && self.command() & pci::COMMAND_INTX_OFF == 0);
    }
}

impl<L: Link, M: GuestMemory + Send> PciFunction for E1000e<L, M> {
    fn name(&self) -> &'static str {
        "82574L network controller"
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
        self.space.write(offset, width, value);
        if let Some(msix) = &mut self.msix {
            msix.config_written(&self.space, platform);
        }
        self.run(platform);
    }

    fn bar_read(&mut self, bar: u8, offset: u64, width: Width, platform: &mut dyn PciPlatform) -> u64 {
        if bar == spec::REGISTERS.0 {
            let has_messages = self.has_messages();
            let low = u64::from(self.nic.read(offset & !3, has_messages));
            let value = match width {
                Width::Qword => low | u64::from(self.nic.read((offset & !3) + 4, has_messages)) << 32,
                _ => low >> (8 * (offset & 3)) & width.mask(),
            };
            // Reading ICR takes the pin down.
            self.update(platform);
            return value;
        }
        match (&self.msix, offset) {
            (Some(msix), 0..spec::PENDING) => msix.table_read(offset, width),
            (Some(msix), _) => msix.pending_read(offset - spec::PENDING, width),
            _ => width.mask(),
        }
    }

    fn bar_write(&mut self, bar: u8, offset: u64, width: Width, value: u64, platform: &mut dyn PciPlatform) {
        if bar == spec::REGISTERS.0 {
            // Registers are written as aligned dwords; a qword is two.
            if width.bytes() < 4 || !offset.is_multiple_of(width.bytes()) {
                return;
            }
            self.nic.write(offset, value as u32);
            if width == Width::Qword {
                self.nic.write(offset + 4, (value >> 32) as u32);
            }
            self.run(platform);
        } else if let Some(msix) = self.msix.as_mut().filter(|_| offset < spec::PENDING) {
            msix.table_write(offset, width, value, &self.space, platform);
        }
    }

    fn input(&mut self, platform: &mut dyn PciPlatform) {
        self.nic.attend();
        self.run(platform);
    }
}
