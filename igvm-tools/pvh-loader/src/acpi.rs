//! Counting processors in the host's ACPI tables: RSDP, RSDT or XSDT, MADT.
//!
//! Source: ACPI 6.5, sections 5.2.5 (RSDP), 5.2.7/5.2.8 (RSDT, XSDT), 5.2.12 (MADT). All of it is hostile
//! input: each table's length is bounded, its checksum checked, and nothing but a number comes out.

use crate::memory::Memory;

/// Longest table looked at. QEMU's MADT for 288 processors has under 5 KiB.
const MAX_TABLE_BYTES: u32 = 64 * 1024;

/// Length of the header that every table but the RSDP begins with.
const HEADER_BYTES: usize = 36;

/// Offset of the entries in a MADT: header, APIC address, flags.
const MADT_ENTRIES: usize = 44;

/// Bit 0 of a local APIC entry's flags.
const ENABLED: u32 = 1;

/// Number of enabled processors, or `None` if the tables do not say it in a form that can be trusted.
pub fn count_processors(memory: &impl Memory, rsdp: u64) -> Option<u32> {
    let (root, width) = root_table(memory, rsdp)?;
    let entries = root.get(HEADER_BYTES..)?;
    for entry in entries.chunks_exact(width) {
        let address = number(entry, 0, width)?;
        // A table that is broken is not the MADT; the others do not matter here.
        if let Some(madt) = table(memory, address, b"APIC") {
            // One processor runs this: tables that know of none are not to be trusted.
            return Some(count_entries(madt.get(MADT_ENTRIES..)?)).filter(|count| *count > 0);
        }
    }
    None
}

/// The XSDT if there is one, else the RSDT, and the size of its entries.
fn root_table(memory: &impl Memory, rsdp: u64) -> Option<(&[u8], usize)> {
    // What the start information says where there are no tables.
    if rsdp == 0 {
        return None;
    }
    // The part that revision 0 has, with a checksum of its own.
    let first = memory.slice(rsdp, 20)?;
    if first.get(..8)? != b"RSD PTR " || sum(first) != 0 {
        return None;
    }
    // From revision 2 on the XSDT counts; one without it, or with a bad sum, leaves the RSDT.
    if *first.get(15)? >= 2 {
        let whole = memory.slice(rsdp, 36)?;
        let xsdt = number(whole, 24, 8)?;
        if xsdt != 0 && sum(whole) == 0 {
            return Some((table(memory, xsdt, b"XSDT")?, 8));
        }
    }
    Some((table(memory, number(first, 16, 4)?, b"RSDT")?, 4))
}

/// A table with this signature, whole and with a good checksum.
fn table<'a>(memory: &'a impl Memory, address: u64, signature: &[u8; 4]) -> Option<&'a [u8]> {
    let header = memory.slice(address, HEADER_BYTES as u64)?;
    if header.get(..4)? != signature {
        return None;
    }
    let bytes = number(header, 4, 4)?;
    // Before the sum: the length is the host's, and all of the table is read for it.
    if bytes < HEADER_BYTES as u64 || bytes > MAX_TABLE_BYTES.into() {
        return None;
    }
    memory.slice(address, bytes).filter(|table| sum(table) == 0)
}

/// Enabled local APICs (type 0) and local x2APICs (type 9). A processor has one of the two, never both.
fn count_entries(mut entries: &[u8]) -> u32 {
    let mut count = 0;
    while let [kind, bytes, ..] = *entries {
        // An entry of less than its own header would never come to an end.
        let Some((entry, rest)) = entries.split_at_checked(usize::from(bytes)).filter(|_| bytes >= 2) else {
            break;
        };
        let flags = match kind {
            0 => number(entry, 4, 4),
            9 => number(entry, 8, 4),
            _ => None,
        };
        count += u32::from(flags.is_some_and(|flags| flags as u32 & ENABLED != 0));
        entries = rest;
    }
    count
}

/// A little-endian number of `bytes` bytes, at most eight.
fn number(from: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let field = from.get(at..at.checked_add(bytes)?)?;
    Some(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

#[cfg(test)]
mod tests;
