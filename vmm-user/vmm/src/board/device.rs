//! One object-safe trait for what the board keeps: any [`Device`], and the interrupt router.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use devices::acpi_entry::AcpiEntry;
use devices::capability::{
    Device, Input, Lines, Mmio, MmioDevice, MmioRange, PortDevice, PortRange, Ports, Timer, Width,
};
use devices::router::Router;
use spin::Mutex;

use super::BoardAccess;
use super::pci::Function;

/// What a device asks of the board when it is added.
#[derive(Clone, Debug)]
pub struct Claims {
    /// What messages call it.
    pub name: &'static str,
    /// Its ports.
    pub ports: Vec<PortRange>,
    /// Its guest physical addresses.
    pub ranges: Vec<MmioRange>,
    /// The interrupt lines that it owns.
    pub lines: Vec<u8>,
    /// It has a timer.
    pub is_timed: bool,
    /// What the ACPI tables say of it.
    pub acpi: Vec<AcpiEntry>,
}

/// A device on the board. What it does not have is absent.
pub trait BoardDevice: Send {
    /// What it asks of the board.
    fn claims(&self) -> Claims;
    /// IN.
    fn port_read(&mut self, port: u16, width: Width, access: &mut BoardAccess<'_>) -> u32;
    /// OUT.
    fn port_write(&mut self, port: u16, width: Width, value: u32, access: &mut BoardAccess<'_>);
    /// A load.
    fn mmio_read(&mut self, offset: u64, width: Width, access: &mut BoardAccess<'_>) -> u64;
    /// A store.
    fn mmio_write(&mut self, offset: u64, width: Width, value: u64, access: &mut BoardAccess<'_>);
    /// When [`Self::expire`] is wanted, in guest nanoseconds.
    fn deadline_ns(&self) -> Option<u64>;
    /// The deadline has come.
    fn expire(&mut self, access: &mut BoardAccess<'_>);
    /// The host has signalled that there is input for it.
    fn input(&mut self, access: &mut BoardAccess<'_>);
    /// It as a function of the PCI bus, if it is one.
    fn as_function(&mut self) -> Option<&mut Function> {
        None
    }
    /// What the table of exits says of it, if there is anything to say.
    fn report(&self) -> Option<String> {
        None
    }
}

impl<D: Device> BoardDevice for D {
    fn claims(&self) -> Claims {
        Claims {
            name: D::NAME,
            ports: <D::Ports as Ports<D>>::claims(self).to_vec(),
            ranges: <D::Mmio as Mmio<D>>::claims(self).to_vec(),
            lines: <D::Lines as Lines<D>>::claims(self).to_vec(),
            is_timed: <D::Timer as Timer<D>>::IS_PRESENT,
            acpi: self.acpi(),
        }
    }

    fn port_read(&mut self, port: u16, width: Width, access: &mut BoardAccess<'_>) -> u32 {
        <D::Ports as Ports<D>>::read(self, port, width, access)
    }

    fn port_write(&mut self, port: u16, width: Width, value: u32, access: &mut BoardAccess<'_>) {
        <D::Ports as Ports<D>>::write(self, port, width, value, access);
    }

    fn mmio_read(&mut self, offset: u64, width: Width, access: &mut BoardAccess<'_>) -> u64 {
        <D::Mmio as Mmio<D>>::read(self, offset, width, access)
    }

    fn mmio_write(&mut self, offset: u64, width: Width, value: u64, access: &mut BoardAccess<'_>) {
        <D::Mmio as Mmio<D>>::write(self, offset, width, value, access);
    }

    fn deadline_ns(&self) -> Option<u64> {
        <D::Timer as Timer<D>>::deadline_ns(self)
    }

    fn expire(&mut self, access: &mut BoardAccess<'_>) {
        <D::Timer as Timer<D>>::expire(self, access);
    }

    fn input(&mut self, access: &mut BoardAccess<'_>) {
        <D::Input as Input<D>>::input(self, access);
    }
}

/// The interrupt router, which lines reach as well as accesses. The vCPUs that must be kicked for an access
/// are the access's, not those of whoever drives a line next.
pub struct SharedRouter(pub Arc<Mutex<Router>>);

impl SharedRouter {
    fn with<R>(
        &self,
        access: &mut BoardAccess<'_>,
        call: impl FnOnce(&mut Router, &mut BoardAccess<'_>) -> R,
    ) -> R {
        let mut router = self.0.lock();
        let result = call(&mut router, access);
        // With the router still locked: behind it another thread's access would take these kicks for its own.
        access.take_kicks(&mut router);
        result
    }
}

impl BoardDevice for SharedRouter {
    fn claims(&self) -> Claims {
        self.0.lock().claims()
    }

    fn port_read(&mut self, port: u16, width: Width, access: &mut BoardAccess<'_>) -> u32 {
        self.with(access, |router, access| PortDevice::port_read(router, port, width, access))
    }

    fn port_write(&mut self, port: u16, width: Width, value: u32, access: &mut BoardAccess<'_>) {
        self.with(access, |router, access| PortDevice::port_write(router, port, width, value, access));
    }

    fn mmio_read(&mut self, offset: u64, width: Width, access: &mut BoardAccess<'_>) -> u64 {
        self.with(access, |router, access| MmioDevice::mmio_read(router, offset, width, access))
    }

    fn mmio_write(&mut self, offset: u64, width: Width, value: u64, access: &mut BoardAccess<'_>) {
        self.with(access, |router, access| MmioDevice::mmio_write(router, offset, width, value, access));
    }

    fn deadline_ns(&self) -> Option<u64> {
        None
    }

    fn expire(&mut self, _: &mut BoardAccess<'_>) {}

    fn input(&mut self, _: &mut BoardAccess<'_>) {}
}
