//! The guest's memory: a piece of what Plinth has for guests, at other addresses than its own.
//!
//! The piece stands for the memory of the machine that the simulator is: an offset in it is a *system
//! physical address*, by which the reverse map knows a page. Parts of it are the guest's, each at a guest
//! physical address of its own; the rest is the host's.
//!
//! A guest physical address as the guest's tables have it is that of a page and perhaps the C-bit. Here the
//! page counts alone: private or shared, it is the same memory, and who may access it is another question
//! ([`nested`](crate::nested)).

use alloc::vec::Vec;

use decoder::{GuestMemory, Size};
use plinth_snp_abi::PAGE_BYTES;
use pvh_loader::extents::Extent;
use vmm::guest_memory::{GuestRam, Range};

/// The bit of a guest physical address that makes it private (CPUID 8000_001Fh EBX).
pub const C_BIT_POSITION: u32 = 47;
/// The same as a mask.
pub const C_BIT: u64 = 1 << C_BIT_POSITION;
/// What such a piece is aligned to, so that large pages of the nested tables could map it.
const ALIGNMENT: u64 = 2 << 20;

/// A part of the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Where the guest has it.
    pub gpa: Extent,
    /// Where it is in the piece.
    pub spa: u64,
}

/// Places parts of the guest's memory one after the other; returns also how many bytes they are.
pub fn regions(parts: &[Extent]) -> (Vec<Region>, u64) {
    let mut spa = 0;
    let place = |gpa: &Extent| {
        let region = Region { gpa: *gpa, spa };
        spa += gpa.bytes();
        region
    };
    let regions = parts.iter().map(place).collect();
    (regions, spa)
}

/// The memory of a guest.
#[derive(Clone, Debug)]
pub struct Memory {
    ram: GuestRam,
    /// Where it begins in Plinth's guest memory.
    start: u64,
    bytes: u64,
    regions: Vec<Region>,
}

impl Memory {
    /// Takes a piece of guest memory, which is cleared: these parts of the guest's, and so many bytes behind
    /// them. `None` if there is no such piece.
    pub fn take(ram: &GuestRam, parts: &[Extent], more: u64) -> Option<Self> {
        let (regions, bytes) = regions(parts);
        let bytes = bytes.checked_add(more)?;
        let start = ram.ranges().iter().find_map(|range| start_in(range, bytes))?;
        ram.clear(start, bytes).then(|| Self { ram: ram.clone(), start, bytes, regions })
    }

    /// The size of the largest piece that there could be.
    pub fn largest(ram: &GuestRam) -> u64 {
        ram.ranges().iter().map(room_in).max().unwrap_or_default()
    }

    /// Its size, with what is the host's.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The guest's parts of it.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The system physical address of a page of the host's, behind the guest's; `None` if there is none with
    /// this number.
    pub fn own(&self, number: u64) -> Option<u64> {
        let first = self.regions.iter().map(|region| region.spa + region.gpa.bytes()).max()?;
        let spa = first.checked_add(number.checked_mul(PAGE_BYTES as u64)?)?;
        (spa < self.bytes).then_some(spa)
    }

    /// The system physical address of a piece of the guest's memory; `None` if not all of it is memory.
    pub fn spa(&self, gpa: u64, bytes: u64) -> Option<u64> {
        spa(&self.regions, gpa & !C_BIT, bytes)
    }

    /// Where a piece of the guest's memory is in Plinth's; `None` if not all of it is memory.
    pub fn place(&self, gpa: u64, bytes: u64) -> Option<u64> {
        self.spa(gpa, bytes).map(|spa| self.start + spa)
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

/// Where in the piece so many bytes of the guest's are, if they are all in one region.
fn spa(regions: &[Region], gpa: u64, bytes: u64) -> Option<u64> {
    // By differences: the guest chooses the address.
    let within = |region: &&Region| {
        let Extent { start, end } = region.gpa;
        gpa >= start && gpa < end && end - gpa >= bytes
    };
    regions.iter().find(within).map(|region| region.spa + (gpa - region.gpa.start))
}

/// Where in a range a piece could begin.
fn first_in(range: &Range) -> Option<u64> {
    // Page 0 and what surrounds it is where a VMM finds tables of the host's: left alone.
    Some(range.gpa.checked_next_multiple_of(ALIGNMENT)?.max(ALIGNMENT))
}

/// How many bytes a piece in a range could have.
fn room_in(range: &Range) -> u64 {
    let end = range.gpa.saturating_add(range.bytes);
    first_in(range).map_or(0, |start| end.saturating_sub(start)) & !(PAGE_BYTES as u64 - 1)
}

/// Where in a range a piece of that size could begin.
fn start_in(range: &Range, bytes: u64) -> Option<u64> {
    first_in(range).filter(|_| room_in(range) >= bytes)
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

    #[test]
    fn parts_of_memory_are_found_whole_or_not_at_all() {
        let extent = |start, end| Extent { start, end };
        let (regions, bytes) = regions(&[extent(0, 0x10_0000), extent(0xfff0_0000, 0x1_0000_0000)]);
        assert_eq!(bytes, 0x20_0000);
        for (gpa, bytes, expected) in [
            (0, 1, Some(0)),
            (0xf_f000, 0x1000, Some(0xf_f000)),
            (0xf_f000, 0x1001, None),
            (0x10_0000, 1, None),
            (0xfff0_0000, 8, Some(0x10_0000)),
            (0xffff_fff0, 16, Some(0x1f_fff0)),
            (0xffff_fff0, 17, None),
            (0xffff_fff0, u64::MAX, None),
            (u64::MAX, 1, None),
        ] {
            assert_eq!(spa(&regions, gpa, bytes), expected, "{gpa:#x}, {bytes:#x}");
        }
    }
}
