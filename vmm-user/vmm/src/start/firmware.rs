//! The firmware area: ACPI tables for exactly what is on the board, and the TPM's event log.

use devices::acpi::tpm2::{self, LOG_BYTES};
use devices::acpi::{AcpiConfig, AcpiTables, FIRMWARE_BYTES, FIRMWARE_GPA};
use devices::acpi_entry::{AcpiEntry, TpmInterface};
use runtime::abi::operation::{Handle, VmAllocate};
use runtime::abi::status::Status;
use runtime::{call, heap};

use super::{Result, StartError, kernel};
use crate::board::TIMER_WIDTH;

/// What is in the firmware area.
pub struct Firmware {
    /// Where the RSDP is.
    pub rsdp_gpa: u64,
    /// What there is for a TPM, if the machine has one.
    pub tpm: Option<TpmArea>,
}

/// What the tables say of the TPM.
pub struct TpmArea {
    /// Its registers.
    pub interface: TpmInterface,
    /// Where the area of its event log is in this process.
    log_address: u64,
}

impl TpmArea {
    /// Writes the event log, as far as it fits.
    pub fn write_log(&self, log: &[u8]) {
        write(self.log_address, log.get(..LOG_BYTES.min(log.len())).unwrap_or_default());
    }
}

/// Writes a part of the firmware area, of which `address` is in this process.
fn write(address: u64, bytes: &[u8]) {
    for (index, byte) in bytes.iter().enumerate() {
        #[allow(unsafe_code, reason = "the kernel has mapped these pages for us")]
        // SAFETY: within the pages that `VmAllocate` mapped: `place_firmware` writes no more than all of
        // them, and the log's area lies inside. The guest does not run yet.
        unsafe {
            ((address + index as u64) as *mut u8).write_volatile(*byte);
        }
    }
}

/// Places the ACPI tables of a machine with these devices.
pub fn place_firmware(vm: Handle, cpus: u32, entries: &[AcpiEntry]) -> Result<Firmware> {
    let config = AcpiConfig { cpus, io_apic_id: 0, timer_width: TIMER_WIDTH, high_window: None };
    let tables = AcpiTables::new(&config, entries, FIRMWARE_GPA, FIRMWARE_BYTES)
        .map_err(|e| StartError::Guest(alloc::format!("{e}")))?;
    let bytes = FIRMWARE_BYTES as u64;
    let address = heap::reserve(bytes).ok_or(StartError::Kernel("firmware tables", Status::Exhausted))?;
    // Not writable for the guest, which could else change what it is told.
    let allocate = VmAllocate { gpa: FIRMWARE_GPA, bytes, address, writable: 0 };
    call(vm, allocate).map_err(kernel("firmware tables"))?;
    // No more than was mapped, whatever the tables came to: the stores depend on it.
    write(address, tables.bytes.get(..FIRMWARE_BYTES.min(tables.bytes.len())).unwrap_or_default());
    let log = tables.tpm_log_gpa.map(|gpa| address + (gpa - FIRMWARE_GPA));
    let area = |(interface, log_address)| TpmArea { interface, log_address };
    Ok(Firmware { rsdp_gpa: tables.rsdp_gpa, tpm: tpm2::interface(entries).zip(log).map(area) })
}
