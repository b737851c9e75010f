//! The guest's memory: a piece of what Plinth has for guests, at other addresses than its own.
//!
//! A guest physical address as the guest's tables have it is that of a page and perhaps the C-bit. Here the
//! page counts alone: private or shared, it is the same memory, and who may access it is another question
//! ([`nested`](crate::nested)).

use decoder::{GuestMemory, Size};
use plinth_snp_abi::PAGE_BYTES;
use runtime::abi::operation::Handle;
use vmm::guest_memory::{GuestRam, Range};

/// The bit of a guest physical address that makes it private (CPUID 8000_001Fh EBX).
pub const C_BIT_POSITION: u32 = 47;
/// The same as a mask.
pub const C_BIT: u64 = 1 << C_BIT_POSITION;
/// What such a piece is aligned to, so that large pages of the nested tables could map it.
const ALIGNMENT: u64 = 2 << 20;

/// The memory of a guest, from its address 0 on.
#[derive(Clone, Debug)]
pub struct Memory {
    ram: GuestRam,
    /// Where it begins in Plinth's guest memory.
    start: u64,
    bytes: u64,
}

impl Memory {
    /// Takes so many bytes of guest memory, which are cleared. `None` if there is no such piece, or it can't
    /// be mapped in this process.
    pub fn take(handle: Handle, bytes: u64) -> Option<Self> {
        let ram = GuestRam::map(handle).ok()?;
        let start = ram.ranges().iter().find_map(|range| start_in(range, bytes))?;
        let memory = Self { ram, start, bytes };
        let zeros = [0; PAGE_BYTES];
        for page in (0..bytes).step_by(PAGE_BYTES) {
            memory.copy_in(page, &zeros)?;
        }
        Some(memory)
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where a piece of it is in Plinth's guest memory; `None` if not all of it is memory.
    pub fn place(&self, gpa: u64, bytes: u64) -> Option<u64> {
        let page = gpa & !C_BIT;
        // By differences: the guest chooses the address.
        (page < self.bytes && self.bytes - page >= bytes).then(|| self.start + page)
    }

    /// Copies bytes in. `None` if there is no memory for all of them.
    pub fn copy_in(&self, gpa: u64, bytes: &[u8]) -> Option<()> {
        let place = self.place(gpa, bytes.len() as u64)?;
        self.ram.copy_in(place, bytes).then_some(())
    }

    /// Copies bytes out.
    pub fn copy_out(&self, gpa: u64, bytes: &mut [u8]) -> Option<()> {
        let place = self.place(gpa, bytes.len() as u64)?;
        self.ram.copy_out(place, bytes).then_some(())
    }
}

/// Where in a range a piece of that size could begin.
fn start_in(range: &Range, bytes: u64) -> Option<u64> {
    // Page 0 and what surrounds it is where a VMM finds tables of the host's: left alone.
    let start = range.gpa.checked_next_multiple_of(ALIGNMENT)?.max(ALIGNMENT);
    let end = range.gpa.checked_add(range.bytes)?;
    (start.checked_add(bytes)? <= end).then_some(start)
}

impl GuestMemory for Memory {
    fn read(&mut self, gpa: u64, size: Size) -> Option<u64> {
        self.ram.read(self.place(gpa, size.bytes())?, size)
    }

    fn write(&mut self, gpa: u64, size: Size, value: u64) -> Option<()> {
        self.ram.write(self.place(gpa, size.bytes())?, size, value)
    }

    fn compare_exchange(&mut self, gpa: u64, size: Size, expected: u64, new: u64) -> Option<u64> {
        self.ram.compare_exchange(self.place(gpa, size.bytes())?, size, expected, new)
    }

    fn compare_exchange_wide(&mut self, gpa: u64, expected: u128, new: u128) -> Option<u128> {
        self.ram.compare_exchange_wide(self.place(gpa, 16)?, expected, new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_aligned_and_all_within_its_range() {
        const MIB: u64 = 1 << 20;
        for (gpa, bytes, wanted, start) in [
            (0, 8 * MIB, 4 * MIB, Some(2 * MIB)),
            (0, 6 * MIB, 4 * MIB, Some(2 * MIB)),
            (0, 6 * MIB - 1, 4 * MIB, None),
            (5 * MIB, 5 * MIB, 4 * MIB, Some(6 * MIB)),
            (5 * MIB, 4 * MIB, 4 * MIB, None),
            (u64::MAX - MIB, MIB, MIB, None),
        ] {
            assert_eq!(start_in(&Range { gpa, bytes }, wanted), start, "{gpa:#x}, {bytes:#x}");
        }
    }
}
