//! The controller as a PCI function: configuration space, BARs and interrupts.

use devices::capability::Width;
use devices::guest_memory::GuestMemory;
use devices::network::Link;
use devices::pci::config::Identity;
use devices::pci::msix::Place;
use devices::pci::{Bar, BarKind, ConfigSpace, Interrupts, PciFunction, PciPlatform, dwords, spec as pci};

use crate::interrupts;
use crate::nic::Nic;
use crate::spec;

/// A network controller on the PCI bus, in a guest whose memory is an `M`.
pub struct E1000e<L, M> {
    space: ConfigSpace,
    interrupts: Interrupts,
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
        let place = |offset| Place { bar: spec::MESSAGES.0, offset };
        let interrupts = Interrupts::add(&mut space, spec::VECTORS, place(0), place(spec::PENDING));
        Self { space, interrupts, nic: Nic::new(link, memory, address) }
    }

    /// The other end of the link.
    pub fn link(&self) -> &L {
        self.nic.link()
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
        if self.interrupts.are_messages() {
            let vectors = interrupts::take_vectors(&mut self.nic.registers);
            for vector in (0..spec::VECTORS).filter(|vector| vectors >> vector & 1 != 0) {
                self.interrupts.signal(vector, &self.space, platform);
            }
        }
        self.interrupts.set_pin(interrupts::wants_pin(&self.nic.registers), &mut self.space, platform);
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

    fn config_write(&mut self, offset: u16, width: Width, value: u32, platform: &mut dyn PciPlatform) {
        self.space.write(offset, width, value);
        self.interrupts.config_written(&self.space, platform);
        self.run(platform);
    }

    fn bar_read(&mut self, bar: u8, offset: u64, width: Width, platform: &mut dyn PciPlatform) -> u64 {
        if bar == spec::REGISTERS.0 {
            let are_messages = self.interrupts.are_messages();
            let value = dwords::read(offset, width, |offset| self.nic.read(offset, are_messages));
            // Reading ICR takes the pin down.
            self.update(platform);
            return value;
        }
        self.interrupts.read(bar, offset, width).unwrap_or(width.mask())
    }

    fn bar_write(&mut self, bar: u8, offset: u64, width: Width, value: u64, platform: &mut dyn PciPlatform) {
        let is_message = self.interrupts.write(bar, offset, width, value, &self.space, platform);
        if is_message || bar != spec::REGISTERS.0 {
            return;
        }
        if dwords::write(offset, width, value, |offset, value| self.nic.write(offset, value)) {
            self.run(platform);
        }
    }

    fn input(&mut self, platform: &mut dyn PciPlatform) {
        self.nic.attend();
        self.run(platform);
    }
}
