//! The firmware area: ACPI tables for exactly what is on the board.

use devices::acpi::{AcpiConfig, AcpiTables, FIRMWARE_BYTES, FIRMWARE_GPA};
use devices::acpi_entry::AcpiEntry;
use runtime::abi::operation::{Handle, VmAllocate};
use runtime::abi::status::Status;
use runtime::{call, heap};

use super::{Result, StartError, kernel};
use crate::board::TIMER_WIDTH;

/// Places the ACPI tables of a machine with these devices; returns where the RSDP is.
pub fn place_firmware(vm: Handle, cpus: u32, entries: &[AcpiEntry]) -> Result<u64> {
    let config = AcpiConfig { cpus, io_apic_id: 0, timer_width: TIMER_WIDTH, high_window: None };
    let tables = AcpiTables::new(&config, entries, FIRMWARE_GPA, FIRMWARE_BYTES)
        .map_err(|e| StartError::Guest(alloc::format!("{e}")))?;
    let bytes = FIRMWARE_BYTES as u64;
    let address = heap::reserve(bytes).ok_or(StartError::Kernel("firmware tables", Status::Exhausted))?;
    // Not writable for the guest, which could else change what it is told.
    let allocate = VmAllocate { gpa: FIRMWARE_GPA, bytes, address, writable: 0 };
    call(vm, allocate).map_err(kernel("firmware tables"))?;
    // No more than was mapped, whatever the tables came to: the stores below depend on it.
    for (index, byte) in tables.bytes.iter().enumerate().take(FIRMWARE_BYTES) {
        #[allow(unsafe_code, reason = "the kernel has just mapped these pages for us")]
        // SAFETY: within the pages that `VmAllocate` mapped at `address`; the guest does not run yet.
        unsafe {
            ((address + index as u64) as *mut u8).write_volatile(*byte);
        }
    }
    Ok(tables.rsdp_gpa)
}
