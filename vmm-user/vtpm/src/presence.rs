//! The registers of physical presence, which the method in the guest's ACPI tables reads and writes
//! ([`devices::acpi::presence`]). All have 32 bits, and are accessed as a whole or not at all.

use devices::acpi::presence::register;
use devices::capability::Width;
use tpm2_engine::presence::{Request, Submitted, confirmation};

/// The registers.
#[derive(Clone, Copy, Debug)]
pub struct PresenceRegisters {
    // Configuration.
    is_allowed: bool,
    // Volatile state.
    request: Request,
    submitted: u32,
    waiting: Option<Request>,
}

impl PresenceRegisters {
    /// The registers after a reset.
    pub fn new(is_allowed: bool) -> Self {
        Self { is_allowed, request: Request::default(), submitted: 0, waiting: None }
    }

    /// A request that was submitted, once.
    pub fn take_submitted(&mut self) -> Option<Request> {
        self.waiting.take()
    }

    /// A request was kept, or not: the executing side's response.
    pub fn finish(&mut self, response: &[u8]) {
        // Another one was submitted meanwhile, of which this says nothing.
        if self.waiting.is_none() {
            self.submitted = response.first().map_or(Submitted::Failure as u32, |byte| u32::from(*byte));
        }
    }

    /// A load. `shown`: what the executing side shows.
    pub fn read(&self, register: u64, width: Width, shown: &[u32; 4]) -> u64 {
        let [pending, parameter, last, response] = *shown;
        let value = match (register, width) {
            (register::OPERATION, Width::Dword) => self.request.operation,
            (register::PARAMETER, Width::Dword) => self.request.parameter,
            (register::SUBMIT, Width::Dword) => self.submitted,
            (register::CONFIRMATION, Width::Dword) => {
                confirmation(self.request.operation, self.is_allowed) as u32
            }
            (register::PENDING, Width::Dword) => pending,
            (register::PENDING_PARAMETER, Width::Dword) => parameter,
            (register::LAST, Width::Dword) => last,
            (register::RESPONSE, Width::Dword) => response,
            // Where there is nothing, a bus reads ones.
            _ => return width.mask(),
        };
        value.into()
    }

    /// A store.
    pub fn write(&mut self, register: u64, width: Width, value: u64) {
        match (register, width) {
            (register::OPERATION, Width::Dword) => self.request.operation = value as u32,
            (register::PARAMETER, Width::Dword) => self.request.parameter = value as u32,
            (register::SUBMIT, Width::Dword) => {
                self.waiting = Some(self.request);
                self.submitted = register::BUSY;
            }
            _ => {}
        }
    }
}
