//! The TPM as a device: five pages of registers, behind which commands go to another thread, and one with the
//! registers of physical presence.

use alloc::sync::Arc;
use alloc::vec::Vec;

use devices::acpi::tpm2::{DEVICE_BYTES, PRESENCE_OFFSET, REGISTERS_GPA};
use devices::acpi_entry::{AcpiEntry, TpmInterface};
use devices::capability::{Device, Missing, MmioDevice, MmioRange, Platform, Present, Width};
use tpm2_engine::interface::Ready;
use tpm2_engine::interface::crb::Crb;
use tpm2_engine::interface::fifo::Fifo;

use crate::exchange::{Bytes, Exchange, Order};
use crate::presence::PresenceRegisters;

const RANGES: &[MmioRange] = &[MmioRange { gpa: REGISTERS_GPA, bytes: DEVICE_BYTES }];

enum Registers {
    Crb(Crb),
    Fifo(Fifo),
}

impl Registers {
    fn new(interface: TpmInterface) -> Self {
        match interface {
            TpmInterface::Crb => Self::Crb(Crb::new()),
            TpmInterface::Fifo => Self::Fifo(Fifo::new()),
        }
    }

    fn read(&mut self, offset: u64, out: &mut [u8]) {
        match self {
            Self::Crb(crb) => crb.read(offset, out),
            Self::Fifo(fifo) => fifo.read(offset, out),
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Ready {
        match self {
            Self::Crb(crb) => crb.write(offset, data),
            Self::Fifo(fifo) => fifo.write(offset, data),
        }
    }

    fn command(&self) -> &[u8] {
        match self {
            Self::Crb(crb) => crb.command(),
            Self::Fifo(fifo) => fifo.command(),
        }
    }

    fn respond(&mut self, response: &[u8]) {
        match self {
            Self::Crb(crb) => crb.respond(response),
            Self::Fifo(fifo) => fifo.respond(response),
        }
    }
}

/// What the executing side is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Nothing,
    Command,
    Presence,
}

/// The TPM's registers. `W` wakes the thread that executes.
pub struct TpmDevice<W> {
    // Configuration.
    interface: TpmInterface,
    // Glue.
    exchange: Arc<Exchange>,
    wake: W,
    // Volatile state.
    registers: Registers,
    presence: PresenceRegisters,
    work: Work,
    /// A command that came while something else was being executed.
    next: Option<(u8, Bytes)>,
}

impl<W: Fn() + Send> TpmDevice<W> {
    /// The registers of an interface after a reset. `is_presence_allowed`: operations that ask for physical
    /// presence are carried out.
    pub fn new(interface: TpmInterface, is_presence_allowed: bool, exchange: Arc<Exchange>, wake: W) -> Self {
        let registers = Registers::new(interface);
        let presence = PresenceRegisters::new(is_presence_allowed);
        Self { interface, exchange, wake, registers, presence, work: Work::Nothing, next: None }
    }

    /// Takes the response of what has ended meanwhile, and has what waits executed.
    fn settle(&mut self) {
        if self.work == Work::Nothing {
            return;
        }
        let Some(response) = self.exchange.take_response() else { return };
        match core::mem::replace(&mut self.work, Work::Nothing) {
            Work::Presence => self.presence.finish(&response),
            // Nobody waits for the response any more if there is another command: the registers are at that
            // one. If it was given up, they drop it.
            Work::Command if self.next.is_none() => self.registers.respond(&response),
            Work::Command | Work::Nothing => {}
        }
        self.start();
    }

    /// Has what waits executed, one after the other.
    fn start(&mut self) {
        if self.work != Work::Nothing {
            return;
        }
        let order = if let Some((locality, bytes)) = self.next.take() {
            self.work = Work::Command;
            Order::Command { locality, bytes }
        } else if let Some(request) = self.presence.take_submitted() {
            self.work = Work::Presence;
            Order::Presence(request)
        } else {
            return;
        };
        // It is refused only while another one is there, which was asked before.
        let _ = self.exchange.order(order);
        (self.wake)();
    }
}

impl<W: Fn() + Send> Device for TpmDevice<W> {
    const NAME: &'static str = "tpm";
    type Ports = Missing;
    type Mmio = Present;
    type Timer = Missing;
    type Lines = Missing;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        [AcpiEntry::Tpm(self.interface)].into()
    }
}

impl<W: Fn() + Send> MmioDevice for TpmDevice<W> {
    fn ranges(&self) -> &[MmioRange] {
        RANGES
    }

    fn mmio_read(&mut self, offset: u64, width: Width, _: &mut dyn Platform) -> u64 {
        // No thread tells the registers that a command has ended: they look whenever the guest does.
        self.settle();
        if let Some(register) = offset.checked_sub(PRESENCE_OFFSET) {
            return self.presence.read(register, width, &self.exchange.shown());
        }
        let mut bytes = [0; 8];
        if let Some(out) = bytes.get_mut(..width as usize) {
            self.registers.read(offset, out);
        }
        u64::from_le_bytes(bytes)
    }

    fn mmio_write(&mut self, offset: u64, width: Width, value: u64, _: &mut dyn Platform) {
        self.settle();
        if let Some(register) = offset.checked_sub(PRESENCE_OFFSET) {
            self.presence.write(register, width, value);
            return self.start();
        }
        let bytes = value.to_le_bytes();
        let data = bytes.get(..width as usize).unwrap_or_default();
        // The engine does not break off: a command that is cancelled ends as it would have, and its response
        // is that of the command (CRB), or dropped where the registers have gone on (FIFO).
        if let Ready::Execute { locality } = self.registers.write(offset, data) {
            // One place is enough: a command that is given up for a third one is executed by nobody.
            self.next = Some((locality, Bytes::new(self.registers.command().to_vec())));
            self.start();
        }
    }
}

#[cfg(test)]
mod tests;
