//! MADT: the interrupt controllers (ACPI 6.5, 5.2.12).

use super::{AcpiConfig, IO_APIC_GPA, LOCAL_APIC_GPA};
use crate::acpi_entry::header;
use crate::pm;
use acpi_tables::sdt::Sdt;
use alloc::vec::Vec;

/// MADT flags: there is a pair of 8259s as well.
const PCAT_COMPAT: u32 = 1;
/// Interrupt flags: active high, edge. ISA's own.
const CONFORMS: u16 = 0;
/// Interrupt flags: active high, level.
const HIGH_LEVEL: u16 = 0x000d;

/// The highest APIC ID that the 8-bit structure can hold; 255 is broadcast.
const MAX_XAPIC_ID: u32 = 254;

/// The table.
pub fn table(config: &AcpiConfig) -> Sdt {
    let mut body = Vec::new();
    body.extend_from_slice(&LOCAL_APIC_GPA.to_le_bytes());
    body.extend_from_slice(&PCAT_COMPAT.to_le_bytes());
    for id in 0..config.cpus {
        local_apic(&mut body, id);
    }
    // I/O APIC: type 1, GSI base 0.
    body.extend_from_slice(&[1, 12, config.io_apic_id, 0]);
    body.extend_from_slice(&IO_APIC_GPA.to_le_bytes());
    body.extend_from_slice(&0u32.to_le_bytes());
    // The PIT is at input 2, the SCI is level-triggered.
    source_override(&mut body, 0, 2, CONFORMS);
    source_override(&mut body, pm::spec::SCI_LINE, pm::spec::SCI_LINE.into(), HIGH_LEVEL);
    // LINT1 of every CPU is NMI: type 4 for all (UID FFh) and type 0Ah for all x2APICs.
    body.extend_from_slice(&[4, 6, 0xff, 0, 0, 1]);
    if config.cpus > MAX_XAPIC_ID + 1 {
        body.extend_from_slice(&[0x0a, 12, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
    }
    let mut table = header(*b"APIC", 5);
    table.append_slice(&body);
    table
}

/// Type 0 where the ID fits, type 9 (x2APIC) where it does not. UIDs equal IDs.
fn local_apic(body: &mut Vec<u8>, id: u32) {
    const ENABLED: u32 = 1;
    // A guest that does not know x2APIC finds the others by the old structures.
    if id <= MAX_XAPIC_ID {
        body.extend_from_slice(&[0, 8, id as u8, id as u8]);
        body.extend_from_slice(&ENABLED.to_le_bytes());
    } else {
        body.extend_from_slice(&[9, 16, 0, 0]);
        for field in [id, ENABLED, id] {
            body.extend_from_slice(&field.to_le_bytes());
        }
    }
}

/// Type 2: ISA interrupt `irq` is global system interrupt `gsi`.
fn source_override(body: &mut Vec<u8>, irq: u8, gsi: u32, flags: u16) {
    body.extend_from_slice(&[2, 10, 0, irq]);
    body.extend_from_slice(&gsi.to_le_bytes());
    body.extend_from_slice(&flags.to_le_bytes());
}
