//! The memory-mapped space: ranges sorted by start, found through a hash of page numbers.
//!
//! A range of up to [`SMALL_PAGES`] pages has a slot for each of its pages in an open-addressed table that is
//! at most half full; the slot holds the first range that touches the page and says where to find the next.
//! So a lookup costs one multiplication and, nearly always, one probe, whether there are three ranges or
//! three thousand. Larger ranges (ECAM, BAR windows) would fill the table; they are few and found by binary
//! search among themselves.

use super::{ClaimError, DeviceId};
use crate::capability::{MmioRange, Width};
use alloc::{boxed::Box, vec, vec::Vec};

const PAGE_SHIFT: u32 = 12;
const SMALL_PAGES: u64 = 64;

/// A device's wish for a range of guest physical addresses.
#[derive(Clone, Copy, Debug)]
pub struct MmioClaim {
    /// Who.
    pub device: DeviceId,
    /// First byte.
    pub gpa: u64,
    /// Size in bytes; any, not only whole pages.
    pub bytes: u64,
}

impl MmioClaim {
    /// One claim for each of a device's ranges.
    pub fn each(device: DeviceId, ranges: &[MmioRange]) -> impl Iterator<Item = Self> {
        ranges.iter().map(move |range| Self { device, gpa: range.gpa, bytes: range.bytes })
    }
}

/// What was found at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The owner.
    pub device: DeviceId,
    /// The address, from the start of the claimed range.
    pub offset: u64,
    /// How many bytes of the range there are from here on; at least 1.
    pub remaining: u64,
}

#[derive(Clone, Copy)]
struct Range {
    start: u64,
    last: u64,
    device: DeviceId,
}

impl Range {
    #[inline]
    fn hit(&self, gpa: u64) -> Option<Hit> {
        if gpa < self.start || gpa > self.last {
            return None;
        }
        // A range that is all of the address space has one byte more than a number can say.
        let remaining = (self.last - gpa).saturating_add(1);
        Some(Hit { device: self.device, offset: gpa - self.start, remaining })
    }
}

/// A page, the first small range that touches it (a copy, so that a hit need look nowhere else), and the
/// index of the range after that one.
#[derive(Clone, Copy)]
struct Slot {
    page: u64,
    range: Range,
    next: u32,
}

/// No page has this number: page numbers have at most 52 bits.
const FREE: Slot = Slot { page: u64::MAX, range: Range { start: 0, last: 0, device: DeviceId(0) }, next: 0 };

/// Who owns which address.
pub struct MmioMap {
    small: Box<[Range]>,
    large: Box<[Range]>,
    slots: Box<[Slot]>,
    /// 64 minus the binary logarithm of the number of slots.
    shift: u32,
}

impl MmioMap {
    /// Builds the map.
    pub fn new(claims: &[MmioClaim]) -> Result<Self, ClaimError> {
        let ranges = sorted_ranges(claims)?;
        // A range of many pages, such as ECAM's, would fill the table; there are few of them, and they are
        // searched.
        let (small, large): (Vec<Range>, Vec<Range>) =
            ranges.into_iter().partition(|r| (r.last >> PAGE_SHIFT) - (r.start >> PAGE_SHIFT) < SMALL_PAGES);
        let pages: u64 = small.iter().map(|r| (r.last >> PAGE_SHIFT) - (r.start >> PAGE_SHIFT) + 1).sum();
        // At most half full, so that a search ends after a step or two.
        let bits = (64 - (pages * 2).leading_zeros()).max(4);
        let mut map = Self {
            small: small.into_boxed_slice(),
            large: large.into_boxed_slice(),
            slots: vec![FREE; 1 << bits].into_boxed_slice(),
            shift: 64 - bits,
        };
        map.fill_slots();
        Ok(map)
    }

    fn fill_slots(&mut self) {
        for (next, range) in (1..).zip(&self.small) {
            for page in range.start >> PAGE_SHIFT..=range.last >> PAGE_SHIFT {
                let mut at = hash(page, self.shift);
                // Terminates: the table has twice as many slots as there are pages.
                while let Some(slot) = self.slots.get_mut(at) {
                    if slot.page == FREE.page {
                        *slot = Slot { page, range: *range, next };
                        break;
                    }
                    // An earlier range touches this page too; the search goes on from it in order.
                    if slot.page == page {
                        break;
                    }
                    at = (at + 1) & (self.slots.len() - 1);
                }
            }
        }
    }

    /// The owner of the byte at `gpa`; `None` if it is absent.
    #[inline]
    pub fn find(&self, gpa: u64) -> Option<Hit> {
        let page = gpa >> PAGE_SHIFT;
        let mut at = hash(page, self.shift);
        while let Some(slot) = self.slots.get(at) {
            if slot.page == page {
                // Copied into the slot, so that the common case reads nothing else.
                return slot.range.hit(gpa).or_else(|| self.find_next(slot.next, gpa));
            }
            if slot.page == FREE.page {
                // The end of what was put near this place: the page has no small range.
                break;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.find_large(gpa)
    }

    /// Several ranges in one page, or one of them and a large one.
    fn find_next(&self, next: u32, gpa: u64) -> Option<Hit> {
        let ranges = self.small.get(next as usize..)?;
        let small = ranges.iter().take_while(|r| r.start <= gpa).find_map(|r| r.hit(gpa));
        small.or_else(|| self.find_large(gpa))
    }

    fn find_large(&self, gpa: u64) -> Option<Hit> {
        // Ranges do not overlap, so that only the last one that starts here or before can have the byte.
        let after = self.large.partition_point(|r| r.start <= gpa);
        self.large.get(after.checked_sub(1)?)?.hit(gpa)
    }

    /// A load, split into bytes if it leaves its owner's range. `access` is asked once for each part.
    #[inline]
    pub fn read(&self, gpa: u64, width: Width, mut access: impl FnMut(DeviceId, u64, Width) -> u64) -> u64 {
        match self.find(gpa) {
            Some(hit) if hit.remaining >= width.bytes() => access(hit.device, hit.offset, width),
            first => self.read_split(gpa, width, first, &mut access),
        }
    }

    #[cold]
    fn read_split(
        &self,
        gpa: u64,
        width: Width,
        first: Option<Hit>,
        access: &mut dyn FnMut(DeviceId, u64, Width) -> u64,
    ) -> u64 {
        let mut value = 0;
        for i in 0..width.bytes() {
            let hit = if i == 0 { first } else { gpa.checked_add(i).and_then(|gpa| self.find(gpa)) };
            // What nobody owns reads as ones, as on a bus.
            let byte = hit.map_or(0xff, |hit| access(hit.device, hit.offset, Width::Byte) & 0xff);
            value |= byte << (8 * i);
        }
        value
    }

    /// A store, split into bytes if it leaves its owner's range. `access` is told once for each part.
    #[inline]
    pub fn write(
        &self,
        gpa: u64,
        width: Width,
        value: u64,
        mut access: impl FnMut(DeviceId, u64, Width, u64),
    ) {
        match self.find(gpa) {
            Some(hit) if hit.remaining >= width.bytes() => access(hit.device, hit.offset, width, value),
            first => self.write_split(gpa, width, value, first, &mut access),
        }
    }

    #[cold]
    fn write_split(
        &self,
        gpa: u64,
        width: Width,
        value: u64,
        first: Option<Hit>,
        access: &mut dyn FnMut(DeviceId, u64, Width, u64),
    ) {
        for i in 0..width.bytes() {
            let hit = if i == 0 { first } else { gpa.checked_add(i).and_then(|gpa| self.find(gpa)) };
            if let Some(hit) = hit {
                access(hit.device, hit.offset, Width::Byte, (value >> (8 * i)) & 0xff);
            }
        }
    }
}

/// Fibonacci hashing: the high bits of the product with 2^64 divided by the golden ratio (Knuth, TAOCP 3,
/// 6.4).
#[inline]
fn hash(page: u64, shift: u32) -> usize {
    (page.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift) as usize
}

fn sorted_ranges(claims: &[MmioClaim]) -> Result<Vec<Range>, ClaimError> {
    let mut ranges = Vec::with_capacity(claims.len());
    for &MmioClaim { device, gpa, bytes } in claims {
        let extent = bytes.checked_sub(1).ok_or(ClaimError::Empty { device })?;
        let last = gpa.checked_add(extent).ok_or(ClaimError::OutOfRange { device })?;
        ranges.push(Range { start: gpa, last, device });
    }
    // In order, an overlap is always one of neighbours.
    ranges.sort_unstable_by_key(|r| r.start);
    for pair in ranges.windows(2) {
        if let [low, high] = pair
            && high.start <= low.last
        {
            return Err(ClaimError::Overlap { first: low.device, second: high.device, at: high.start });
        }
    }
    Ok(ranges)
}
