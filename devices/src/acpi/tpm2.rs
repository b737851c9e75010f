//! What the tables say of a TPM 2.0: the table TPM2 and a device (TCG ACPI Specification 1.4, chapters 7
//! and 8).

use acpi_tables::{
    Aml,
    aml::{Device, Memory32Fixed, Name, Path, ResourceTemplate},
    sdt::Sdt,
};
use alloc::{vec, vec::Vec};

use super::{Raw, presence};
use crate::acpi_entry::{AcpiEntry, TpmInterface, header};

/// Where the registers of locality 0 are.
pub const REGISTERS_GPA: u64 = 0xfed4_0000;
/// Bytes of all five localities' registers.
pub const REGISTERS_BYTES: u64 = 0x5000;
/// Where the registers of physical presence are, from those of locality 0 on.
pub const PRESENCE_OFFSET: u64 = REGISTERS_BYTES;
/// Bytes of all registers, whole pages.
pub const DEVICE_BYTES: u64 = PRESENCE_OFFSET + 0x1000;
/// Bytes of the event log's area: at least 64 KiB (TCG ACPI Specification 1.4, table 3, LAML).
pub const LOG_BYTES: usize = 0x1_0000;

/// The first TPM that the devices bring.
pub fn interface(entries: &[AcpiEntry]) -> Option<TpmInterface> {
    entries.iter().find_map(|entry| match entry {
        AcpiEntry::Tpm(interface) => Some(*interface),
        _ => None,
    })
}

/// The table, with the place of the event log's area.
pub fn table(interface: TpmInterface, log_gpa: u64) -> Sdt {
    // The control area of the command response buffer is at 40h; the FIFO has none.
    let (start_method, control_area) = match interface {
        TpmInterface::Fifo => (6u32, 0),
        TpmInterface::Crb => (7, REGISTERS_GPA + 0x40),
    };
    let mut table = header(*b"TPM2", 4);
    // The platform class of a client, and two bytes that are reserved.
    table.append_slice(&[0; 4]);
    table.append_slice(&control_area.to_le_bytes());
    table.append_slice(&start_method.to_le_bytes());
    // Neither method has parameters.
    table.append_slice(&[0; 12]);
    table.append_slice(&(LOG_BYTES as u32).to_le_bytes());
    table.append_slice(&log_gpa.to_le_bytes());
    table
}

/// The device under `\_SB`, as AML.
pub fn device() -> Vec<u8> {
    let id = Name::new("_HID".into(), &"MSFT0101");
    let uid = Name::new("_UID".into(), &0u8);
    let registers = Memory32Fixed::new(true, REGISTERS_GPA as u32, REGISTERS_BYTES as u32);
    let resources = Name::new("_CRS".into(), &ResourceTemplate::new(vec![&registers]));
    // Its registers are no resource of the driver's: only the method touches them.
    let presence = presence::methods();
    let mut aml = Vec::new();
    Device::new(Path::new("TPM_"), vec![&id, &uid, &resources, &Raw(&presence)]).to_aml_bytes(&mut aml);
    aml
}
