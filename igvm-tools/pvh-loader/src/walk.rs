//! A walk of 4-level page tables in memory, to see whether an image's entry point is really there.
//!
//! Source: APM volume 2, section 5.3 (long-mode page translation).

use crate::memory::Memory;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Where a virtual address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The physical address.
    pub gpa: u64,
    /// Writes are allowed at every level.
    pub writable: bool,
    /// Fetches are allowed at every level.
    pub executable: bool,
}

/// Translates a canonical virtual address as the processor would for supervisor accesses.
pub fn translate(memory: &impl Memory, cr3: u64, address: u64) -> Option<Mapping> {
    let mut table = cr3 & ADDRESS;
    let mut writable = true;
    let mut executable = true;
    for level in (0..4u32).rev() {
        let shift = 12 + 9 * level;
        let index = (address >> shift) & 0x1ff;
        // The tables are the file's: one that is not in memory maps nothing.
        let entry = memory.read_u64(table + index * 8)?;
        if entry & PRESENT == 0 {
            return None;
        }
        writable &= entry & WRITABLE != 0;
        executable &= entry & NO_EXECUTE == 0;
        // Bit 7 is "large page" in the two middle levels only; in the lowest it is PAT, in the highest
        // reserved.
        let large = entry & LARGE != 0 && (level == 1 || level == 2);
        if level == 0 || large {
            let inside = (1u64 << shift) - 1;
            let gpa = (entry & ADDRESS & !inside) | (address & inside);
            return Some(Mapping { gpa, writable, executable });
        }
        table = entry & ADDRESS;
    }
    None
}

#[cfg(test)]
mod tests;
