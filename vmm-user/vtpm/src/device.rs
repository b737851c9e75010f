//! The TPM as a device: five pages of registers, behind which commands go to another thread.

use alloc::sync::Arc;
use alloc::vec::Vec;

use devices::acpi::tpm2::{REGISTERS_BYTES, REGISTERS_GPA};
use devices::acpi_entry::{AcpiEntry, TpmInterface};
use devices::capability::{Device, Missing, MmioDevice, MmioRange, Platform, Present, Width};
use tpm2_engine::interface::Ready;
use tpm2_engine::interface::crb::Crb;
use tpm2_engine::interface::fifo::Fifo;

use crate::exchange::{Bytes, Exchange};

const RANGES: &[MmioRange] = &[MmioRange { gpa: REGISTERS_GPA, bytes: REGISTERS_BYTES }];

enum Registers {
    Crb(Crb),
    Fifo(Fifo),
}

impl Registers {
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

/// The TPM's registers. `W` wakes the thread that executes.
pub struct TpmDevice<W> {
    // Configuration.
    interface: TpmInterface,
    // Glue.
    exchange: Arc<Exchange>,
    wake: W,
    // Volatile state.
    registers: Registers,
    is_executing: bool,
    /// A command that came while another one was being executed, which had been given up.
    next: Option<(u8, Bytes)>,
}

impl<W: Fn() + Send> TpmDevice<W> {
    /// The registers of an interface after a reset.
    pub fn new(interface: TpmInterface, exchange: Arc<Exchange>, wake: W) -> Self {
        let registers = match interface {
            TpmInterface::Crb => Registers::Crb(Crb::new()),
            TpmInterface::Fifo => Registers::Fifo(Fifo::new()),
        };
        Self { interface, exchange, wake, registers, is_executing: false, next: None }
    }

    /// Takes the response of a command that has ended meanwhile.
    fn settle(&mut self) {
        if !self.is_executing {
            return;
        }
        let Some(response) = self.exchange.take_response() else { return };
        self.is_executing = false;
        match self.next.take() {
            // Nobody waits for that response any more: the registers are at another command.
            Some((locality, command)) => self.start(locality, command),
            // If it was given up, the registers drop it.
            None => self.registers.respond(&response),
        }
    }

    fn start(&mut self, locality: u8, command: Bytes) {
        // It is refused only while another one is there, which was asked before.
        self.is_executing = self.exchange.order(locality, command);
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
        let mut bytes = [0; 8];
        if let Some(out) = bytes.get_mut(..width as usize) {
            self.registers.read(offset, out);
        }
        u64::from_le_bytes(bytes)
    }

    fn mmio_write(&mut self, offset: u64, width: Width, value: u64, _: &mut dyn Platform) {
        self.settle();
        let bytes = value.to_le_bytes();
        let data = bytes.get(..width as usize).unwrap_or_default();
        // The engine does not break off: a command that is cancelled ends as it would have, and its response
        // is that of the command (CRB), or dropped where the registers have gone on (FIFO).
        if let Ready::Execute { locality } = self.registers.write(offset, data) {
            let command = Bytes::new(self.registers.command().to_vec());
            if self.is_executing {
                // One place is enough: a command that is given up for a third one is executed by nobody.
                self.next = Some((locality, command));
            } else {
                self.start(locality, command);
            }
        }
    }
}

#[cfg(test)]
mod tests;
