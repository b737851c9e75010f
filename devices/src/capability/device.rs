//! What a device is to the board: its name, which capabilities it has, and its entries in the ACPI tables.
//!
//! A [`Device`] says of each capability whether it is [`Present`] or [`Missing`]. The capability's own trait
//! can be implemented only by a device that says `Present`, and a device that says so must implement it: the
//! compiler refuses both mistakes, so that adding a device to the board takes one line and nothing can be
//! forgotten there. The claims (ports, addresses, lines) are the device's own words, by the methods of those
//! traits.
//!
//! The traits [`Ports`], [`Mmio`], [`Timer`], [`Lines`] and [`Input`] are the board's side of this. They
//! carry an access to a device that has the capability, and give what the bus gives where it is missing:
//! all-ones.

use alloc::vec::Vec;

use super::{
    InputDevice, LineDevice, MmioDevice, MmioRange, Platform, PortDevice, PortRange, TimedDevice, Width,
};
use crate::acpi_entry::AcpiEntry;

/// The device has the capability.
#[derive(Clone, Copy, Debug)]
pub enum Present {}

/// The device does not have the capability.
#[derive(Clone, Copy, Debug)]
pub enum Missing {}

/// A device that can be added to a board.
pub trait Device: Send + Sized {
    /// What messages call it.
    const NAME: &'static str;
    /// [`PortDevice`].
    type Ports: Ports<Self>;
    /// [`MmioDevice`].
    type Mmio: Mmio<Self>;
    /// [`TimedDevice`].
    type Timer: Timer<Self>;
    /// [`LineDevice`].
    type Lines: Lines<Self>;
    /// [`InputDevice`].
    type Input: Input<Self>;

    /// What the ACPI tables say of it; empty for a device that a guest finds without them.
    fn acpi(&self) -> Vec<AcpiEntry>;
}

/// Port accesses to a `D`.
pub trait Ports<D> {
    /// The ports it claims.
    fn claims(device: &D) -> &[PortRange];
    /// IN.
    fn read(device: &mut D, port: u16, width: Width, platform: &mut dyn Platform) -> u32;
    /// OUT.
    fn write(device: &mut D, port: u16, width: Width, value: u32, platform: &mut dyn Platform);
}

impl<D: PortDevice> Ports<D> for Present {
    fn claims(device: &D) -> &[PortRange] {
        device.ports()
    }

    #[inline(always)]
    fn read(device: &mut D, port: u16, width: Width, platform: &mut dyn Platform) -> u32 {
        device.port_read(port, width, platform)
    }

    #[inline(always)]
    fn write(device: &mut D, port: u16, width: Width, value: u32, platform: &mut dyn Platform) {
        device.port_write(port, width, value, platform);
    }
}

impl<D> Ports<D> for Missing {
    fn claims(_: &D) -> &[PortRange] {
        &[]
    }

    fn read(_: &mut D, _: u16, width: Width, _: &mut dyn Platform) -> u32 {
        width.mask() as u32
    }

    fn write(_: &mut D, _: u16, _: Width, _: u32, _: &mut dyn Platform) {}
}

/// Memory accesses to a `D`.
pub trait Mmio<D> {
    /// The addresses it claims.
    fn claims(device: &D) -> &[MmioRange];
    /// A load.
    fn read(device: &mut D, offset: u64, width: Width, platform: &mut dyn Platform) -> u64;
    /// A store.
    fn write(device: &mut D, offset: u64, width: Width, value: u64, platform: &mut dyn Platform);
}

impl<D: MmioDevice> Mmio<D> for Present {
    fn claims(device: &D) -> &[MmioRange] {
        device.ranges()
    }

    #[inline(always)]
    fn read(device: &mut D, offset: u64, width: Width, platform: &mut dyn Platform) -> u64 {
        device.mmio_read(offset, width, platform)
    }

    #[inline(always)]
    fn write(device: &mut D, offset: u64, width: Width, value: u64, platform: &mut dyn Platform) {
        device.mmio_write(offset, width, value, platform);
    }
}

impl<D> Mmio<D> for Missing {
    fn claims(_: &D) -> &[MmioRange] {
        &[]
    }

    fn read(_: &mut D, _: u64, width: Width, _: &mut dyn Platform) -> u64 {
        width.mask()
    }

    fn write(_: &mut D, _: u64, _: Width, _: u64, _: &mut dyn Platform) {}
}

/// The timer of a `D`.
pub trait Timer<D> {
    /// Whether there is one.
    const IS_PRESENT: bool;
    /// When [`Self::expire`] wants to be called next, in guest nanoseconds.
    fn deadline_ns(device: &D) -> Option<u64>;
    /// The deadline has come.
    fn expire(device: &mut D, platform: &mut dyn Platform);
}

impl<D: TimedDevice> Timer<D> for Present {
    const IS_PRESENT: bool = true;

    #[inline(always)]
    fn deadline_ns(device: &D) -> Option<u64> {
        device.deadline_ns()
    }

    fn expire(device: &mut D, platform: &mut dyn Platform) {
        device.expire(platform);
    }
}

impl<D> Timer<D> for Missing {
    const IS_PRESENT: bool = false;

    fn deadline_ns(_: &D) -> Option<u64> {
        None
    }

    fn expire(_: &mut D, _: &mut dyn Platform) {}
}

/// The interrupt lines of a `D`.
pub trait Lines<D> {
    /// The lines it owns.
    fn claims(device: &D) -> &[u8];
}

impl<D: LineDevice> Lines<D> for Present {
    fn claims(device: &D) -> &[u8] {
        device.lines()
    }
}

impl<D> Lines<D> for Missing {
    fn claims(_: &D) -> &[u8] {
        &[]
    }
}

/// Input from the host to a `D`.
pub trait Input<D> {
    /// The host has signalled that there is input.
    fn input(device: &mut D, platform: &mut dyn Platform);
}

impl<D: InputDevice> Input<D> for Present {
    fn input(device: &mut D, platform: &mut dyn Platform) {
        device.input(platform);
    }
}

impl<D> Input<D> for Missing {
    fn input(_: &mut D, _: &mut dyn Platform) {}
}
