//! Collects the devices of a board, and holds their claims against each other.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use devices::acpi_entry::AcpiEntry;
use devices::bus::{BarClaim, BarMap, ClaimError, DeviceId, MmioClaim, MmioMap, PortClaim, PortMap};
use devices::capability::{Device, Missing, MmioRange, Present, Width};
use devices::pci::{PciFunction, spec};
use runtime::abi::operation::Handle;
use runtime::event::Event;

use super::device::BoardDevice;
use super::pci::{Function, Wire};
use super::ranges::{self, Named};
use super::window::Window;
use crate::guest_memory::Range;

/// Lines are inputs of the I/O APIC.
const LINES: usize = 24;
/// Bits of a vCPU's pending work that host events may have (`vcpu_abi::run_page::work`).
const INPUTS_MAX: usize = 24;

/// The most functions there may be: their interrupt pins share lines, a bit each.
const FUNCTIONS_MAX: usize = 64;

/// Why devices make no board. To blame: whoever put them on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardError {
    /// Two devices claim the same port or address.
    Overlap {
        /// "port" or "address".
        what: &'static str,
        /// It.
        at: u64,
        /// Who claims it.
        first: &'static str,
        /// Who claims it as well.
        second: &'static str,
    },
    /// A claim is empty, or runs past the end of the ports or addresses.
    Range {
        /// Whose.
        device: &'static str,
    },
    /// A device claims addresses at which there is memory.
    Memory {
        /// Whose.
        device: &'static str,
        /// The first byte it claims.
        gpa: u64,
    },
    /// Two devices own the same interrupt line.
    Line {
        /// It.
        line: u8,
        /// Who owns it.
        first: &'static str,
        /// Who wants to own it as well.
        second: &'static str,
    },
    /// There is no such interrupt line.
    NoLine {
        /// It.
        line: u8,
        /// Who claims it.
        device: &'static str,
    },
    /// More devices have input from the host than a vCPU's pending work has bits.
    Inputs,
    /// Two functions are to be at the same place of the PCI bus.
    Slot {
        /// Device number times 8 plus function number.
        devfn: u8,
        /// The second of them.
        function: &'static str,
    },
    /// A range is to be emulated, and no device is at some of it.
    Unclaimed {
        /// Its name.
        range: &'static str,
        /// The first port or address without a device.
        at: u64,
    },
    /// There are more functions than the bus has room for.
    BusFull {
        /// The first one without a place.
        function: &'static str,
    },
}

impl fmt::Display for BoardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap { what, at, first, second } => {
                write!(f, "the devices '{first}' and '{second}' both claim {what} {at:#x}")
            }
            Self::Range { device } => {
                write!(f, "the device '{device}' claims a range that is empty or too long")
            }
            Self::Memory { device, gpa } => {
                write!(f, "the device '{device}' claims addresses from {gpa:#x} on, where memory is")
            }
            Self::Line { line, first, second } => {
                write!(f, "the devices '{first}' and '{second}' both own interrupt line {line}")
            }
            Self::NoLine { line, device } => {
                write!(f, "the device '{device}' wants interrupt line {line}; there are {LINES}")
            }
            Self::Inputs => write!(f, "more than {INPUTS_MAX} devices have input from the host"),
            Self::Slot { devfn, function } => {
                let (slot, number) = (devfn >> 3, devfn & 7);
                write!(f, "the place {slot:02x}.{number} of '{function}' on the PCI bus is taken")
            }
            Self::Unclaimed { range, at } => write!(f, "no device is at {at:#x} of '{range}'"),
            Self::BusFull { function } => write!(f, "the PCI bus has no room for '{function}'"),
        }
    }
}

/// What signals that a device has input.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// An interrupt of the host's.
    Interrupt(Handle),
    /// An event, which another process signals.
    Event(Event),
}

/// A device that has input from the host.
#[derive(Clone, Copy, Debug)]
pub struct HostInput {
    /// It.
    pub device: DeviceId,
    /// What signals the input; nothing if the process has no handle to that.
    pub signal: Option<Signal>,
}

/// What one board is made of.
pub struct Parts {
    /// The devices, by [`DeviceId`].
    pub devices: Vec<Box<dyn BoardDevice>>,
    /// Those of them that have timers.
    pub timed: Vec<DeviceId>,
    /// Those of them that have input from the host.
    pub inputs: Vec<HostInput>,
    /// Who owns which port.
    pub ports: PortMap,
    /// Who owns which address.
    pub mmio: MmioMap,
    /// PCI functions' BARs.
    pub bars: BarMap,
    /// The functions of the PCI bus, by place.
    pub functions: Vec<Option<DeviceId>>,
    /// What the ACPI tables say of the devices.
    pub acpi: Vec<AcpiEntry>,
}

/// Collects devices and their claims.
pub struct Builder {
    devices: Vec<Box<dyn BoardDevice>>,
    inputs: Vec<HostInput>,
    /// By place on the bus.
    functions: Vec<Option<DeviceId>>,
    bars: Vec<(BarClaim, Option<u64>)>,
    window: Window,
    /// Of which the configuration speaks.
    pub(super) ranges: Vec<Named>,
    /// The first mistake in placing a function.
    misplaced: Option<BoardError>,
}

impl Default for Builder {
    /// Nothing.
    fn default() -> Self {
        Self {
            devices: Vec::new(),
            inputs: Vec::new(),
            functions: (0..256).map(|_| None).collect(),
            bars: Vec::new(),
            window: Window::default(),
            ranges: Vec::new(),
            misplaced: None,
        }
    }
}

impl Builder {
    /// Adds a device. What it claims, it says itself.
    pub fn add<D: Device<Input = Missing> + 'static>(&mut self, device: D) {
        self.insert(Box::new(device));
    }

    /// Adds a device that has input from the host, signalled by `interrupt`.
    pub fn add_with_input<D>(&mut self, device: D, interrupt: Option<Handle>)
    where
        D: Device<Input = Present> + 'static,
    {
        self.insert_with_input(Box::new(device), interrupt.map(Signal::Interrupt));
    }

    /// Puts a function on the PCI bus, in the first slot that is free.
    pub fn add_function(&mut self, function: impl PciFunction + 'static) {
        self.place_function(function);
    }

    /// The same for a function that has input, which an event signals.
    pub fn add_function_with_input(&mut self, function: impl PciFunction + 'static, signal: Event) {
        if let Some(device) = self.place_function(function) {
            self.inputs.push(HostInput { device, signal: Some(Signal::Event(signal)) });
        }
    }

    fn place_function(&mut self, function: impl PciFunction + 'static) -> Option<DeviceId> {
        let is_free = |devfn: &u8| {
            // A slot with nothing in it: function 0 of one with further functions must say so in its header,
            // and these functions do not know of each other.
            let start = usize::from(*devfn);
            self.functions.get(start..start + 8).is_some_and(|slot| slot.iter().all(Option::is_none))
        };
        match (0..=u8::MAX).step_by(8).find(is_free) {
            Some(devfn) => self.place_function_at(devfn, function),
            None => self.misplaced(BoardError::BusFull { function: function.name() }),
        }
    }

    /// Puts a function on the PCI bus, at a place: device number times 8 plus function number. Function 0 of
    /// a slot with further functions must say so itself (header type bit 7).
    pub fn add_function_at(&mut self, devfn: u8, function: impl PciFunction + 'static) {
        self.place_function_at(devfn, function);
    }

    fn place_function_at(&mut self, devfn: u8, mut function: impl PciFunction + 'static) -> Option<DeviceId> {
        let name = function.name();
        // Counted from 0, in the order in which they are added: each has its bit of a shared line by it.
        let number = self.functions.iter().flatten().count();
        if number >= FUNCTIONS_MAX {
            return self.misplaced(BoardError::BusFull { function: name });
        }
        if !matches!(self.functions.get(usize::from(devfn)), Some(None)) {
            return self.misplaced(BoardError::Slot { devfn, function: name });
        }
        // The slot's number and the pin decide, not the function's number. INTA is pin 1; without a pin no
        // line is driven.
        let pin = function.space().read(spec::INTERRUPT_PIN, Width::Byte) as u8;
        let line = spec::intx_line(devfn >> 3, pin.saturating_sub(1));
        self.window.set_up(&mut function, line);
        let space = function.space();
        let bars: Vec<_> =
            space.bars().map(|(index, bar)| (index, bar.bytes, space.bar_base(index))).collect();
        let wire = Wire { line, number: number as u8 };
        let device = self.insert(Box::new(Function::new(Box::new(function), wire)));
        let claim = |(bar, bytes, base)| (BarClaim { device, bar, bytes }, base);
        self.bars.extend(bars.into_iter().map(claim));
        if let Some(place) = self.functions.get_mut(usize::from(devfn)) {
            *place = Some(device);
        }
        Some(device)
    }

    fn misplaced(&mut self, error: BoardError) -> Option<DeviceId> {
        // Kept for `finish`, so that adding a device has no error of its own; the first tells the most.
        self.misplaced.get_or_insert(error);
        None
    }

    pub(super) fn insert_with_input(&mut self, device: Box<dyn BoardDevice>, signal: Option<Signal>) {
        let device = self.insert(device);
        self.inputs.push(HostInput { device, signal });
    }

    pub(super) fn insert(&mut self, device: Box<dyn BoardDevice>) -> DeviceId {
        self.devices.push(device);
        DeviceId((self.devices.len() - 1) as u16)
    }

    /// Holds the claims against each other and against the guest's memory, and makes the parts of a board.
    pub fn finish(self, ram: &[Range]) -> Result<Parts, BoardError> {
        if let Some(error) = self.misplaced {
            return Err(error);
        }
        let all: Vec<_> = self.devices.iter().map(|device| device.claims()).collect();
        // The maps know devices by number; whoever reads the error knows them by name.
        let name = |id: DeviceId| all.get(usize::from(id.0)).map_or("?", |claims| claims.name);
        ranges::check(&self.ranges, &self.bars, |bar| name(bar.device))?;
        let named = |what, error| match error {
            ClaimError::Overlap { first, second, at } => {
                BoardError::Overlap { what, at, first: name(first), second: name(second) }
            }
            ClaimError::Empty { device } | ClaimError::OutOfRange { device } => {
                BoardError::Range { device: name(device) }
            }
            ClaimError::ReservedId => BoardError::Range { device: "?" },
        };
        let (mut ports, mut mmio, mut timed) = (Vec::new(), Vec::new(), Vec::new());
        let mut owners = [None; LINES];
        for (claims, id) in all.iter().zip(0..) {
            ports.extend(PortClaim::each(DeviceId(id), &claims.ports));
            mmio.extend(MmioClaim::each(DeviceId(id), &claims.ranges));
            if claims.is_timed {
                timed.push(DeviceId(id));
            }
            // Accesses would reach the memory and never come here.
            if let Some(MmioRange { gpa, .. }) = claims.ranges.iter().find(|claim| is_memory(claim, ram)) {
                return Err(BoardError::Memory { device: claims.name, gpa: *gpa });
            }
            for &line in &claims.lines {
                take_line(&mut owners, line, claims.name)?;
            }
        }
        if self.inputs.len() > INPUTS_MAX {
            return Err(BoardError::Inputs);
        }
        let bars = BarMap::new(self.bars.iter().map(|(claim, _)| *claim));
        for (BarClaim { device, bar, .. }, base) in &self.bars {
            bars.place(*device, *bar, *base);
        }
        let ports = PortMap::new(&ports).map_err(|error| named("port", error))?;
        let mmio = MmioMap::new(&mmio).map_err(|error| named("address", error))?;
        ranges::check_emulated(&self.ranges, &ports, &mmio)?;
        Ok(Parts {
            bars,
            functions: self.functions,
            ports,
            mmio,
            acpi: all.iter().flat_map(|claims| claims.acpi.iter().cloned()).collect(),
            devices: self.devices,
            inputs: self.inputs,
            timed,
        })
    }
}

/// Whether there is memory at one of a claim's addresses: accesses would reach it instead of the device.
fn is_memory(claim: &MmioRange, ram: &[Range]) -> bool {
    let overlaps = |range: &Range| {
        claim.gpa < range.gpa.saturating_add(range.bytes) && range.gpa < claim.gpa.saturating_add(claim.bytes)
    };
    ram.iter().any(overlaps)
}

/// Makes a device the owner of a line.
fn take_line(
    owners: &mut [Option<&'static str>; LINES],
    line: u8,
    device: &'static str,
) -> Result<(), BoardError> {
    let owner = owners.get_mut(usize::from(line)).ok_or(BoardError::NoLine { line, device })?;
    // Of two that drive one line each would lower it while the other holds it high.
    match owner.replace(device) {
        Some(first) => Err(BoardError::Line { line, first, second: device }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
