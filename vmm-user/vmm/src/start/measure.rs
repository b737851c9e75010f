//! The stage in which what the guest starts from goes into the TPM's PCRs. See [`crate::measured`].

use alloc::format;
use alloc::vec::Vec;

use devices::acpi::tpm2::{LOG_BYTES, REGISTERS_GPA};
use devices::acpi_entry::TpmInterface;
use devices::capability::Width;
use runtime::event::Event;
use runtime::syscall::tsc;

use super::firmware::TpmArea;
use super::kernel::{optional_payload, payload};
use super::{Result, StartError, kernel};
use crate::board::Board;
use crate::guest_memory::GuestRam;
use crate::handles::Handles;
use crate::measured::driver::Registers;
use crate::measured::{Part, measure};

/// How long one command may take: none of these makes a key.
const LIMIT_S: u64 = 120;
/// Looks at a register in a second.
const LOOKS_A_SECOND: u64 = 1000;

/// The TPM's registers on the board.
struct OnBoard<'a> {
    board: &'a Board,
    interface: TpmInterface,
    never: Event,
    deadline_tsc: u64,
}

impl Registers for OnBoard<'_> {
    fn interface(&self) -> TpmInterface {
        self.interface
    }

    fn read(&mut self, offset: u64, width: Width) -> u64 {
        self.board.mmio_read(REGISTERS_GPA + offset, width, &mut self.board.access())
    }

    fn write(&mut self, offset: u64, width: Width, value: u64) {
        self.board.mmio_write(REGISTERS_GPA + offset, width, value, &mut self.board.access());
        // Anew at each write: what starts a command is the last one before the driver waits.
        self.deadline_tsc = tsc().saturating_add(self.board.clock.tsc_hz().saturating_mul(LIMIT_S));
    }

    fn pause(&mut self) -> bool {
        let now = tsc();
        // Nobody signals it.
        let _ = self.never.wait_until(now.saturating_add(self.board.clock.tsc_hz() / LOOKS_A_SECOND));
        now < self.deadline_tsc
    }
}

/// The digests of kernel, command line and initial RAM disk, which are still where the image had them.
pub fn parts(handles: &Handles, ram: &GuestRam) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for name in ["linux", "cmdline", "initrd"] {
        let file = if name == "initrd" { optional_payload(handles, name)? } else { payload(handles, name)? };
        // An image without an initial RAM disk has none to measure.
        if file.bytes > 0 {
            let copy = |offset, piece: &mut [u8]| ram.copy_out(file.gpa + offset, piece);
            parts.push(Part::new(name, file.bytes, copy).ok_or(StartError::File(name))?);
        }
    }
    Ok(parts)
}

/// Extends the PCRs, and puts the event log where the ACPI tables say it is.
pub fn into_tpm(board: &Board, area: &TpmArea, parts: &[Part]) -> Result<()> {
    let never = Event::try_new().map_err(kernel("an event"))?;
    let registers = OnBoard { board, interface: area.interface, never, deadline_tsc: u64::MAX };
    let log = measure(registers, parts, LOG_BYTES)
        .map_err(|error| StartError::Guest(format!("it can't be measured: {error}")))?;
    area.write_log(&log);
    log::info!("{} parts of the payload are in the TPM's PCRs", parts.len());
    Ok(())
}
