//! The host's memory map: hostile input, checked here and turned into ranges that say what they are.
//!
//! Form: IGVM's `IGVM_VHS_MEMORY_MAP_ENTRY` (crate `igvm_defs`): page number, pages, type, flags.

use crate::memory::layout::PAGE;

/// The most entries that are looked at.
const MAX_ENTRIES: usize = 256;
/// The most usable ranges.
pub const MAX_RANGES: usize = 64;
/// Physical memory ends here at the latest: 40 bits, what every processor with SVM has.
const PHYSICAL_PAGES: u64 = 1 << 28;
const TYPE_MEMORY: u16 = 0;
/// Video memory and ROMs of a PC; QEMU's map has no hole there.
const LEGACY_HOLE: Range = Range { start: 0xa_0000, end: 0x10_0000 };

/// A range of physical memory, page-aligned, not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// Behind the last.
    pub end: u64,
}

/// Why a memory map is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// An entry reaches past the largest physical address.
    OutOfRange {
        /// Which.
        index: usize,
    },
    /// Usable entries are not in order, or overlap.
    OutOfOrder {
        /// Which.
        index: usize,
    },
    /// More usable ranges than are kept.
    TooMany,
    /// Plinth's window is not in usable memory.
    WindowMissing,
}

/// Usable memory: sorted ranges that do not touch each other.
#[derive(Clone, Debug)]
pub struct Ranges {
    ranges: [Range; MAX_RANGES],
    count: usize,
}

impl Ranges {
    /// None.
    pub const fn new() -> Self {
        Self { ranges: [Range { start: 0, end: 0 }; MAX_RANGES], count: 0 }
    }

    /// The ranges.
    pub fn as_slice(&self) -> &[Range] {
        self.ranges.get(..self.count).unwrap_or(&[])
    }

    fn push(&mut self, range: Range) -> Result<(), MapError> {
        if range.start >= range.end {
            return Ok(());
        }
        if let Some(last) = self.count.checked_sub(1).and_then(|i| self.ranges.get_mut(i))
            && last.end == range.start
        {
            last.end = range.end;
            return Ok(());
        }
        *self.ranges.get_mut(self.count).ok_or(MapError::TooMany)? = range;
        self.count += 1;
        Ok(())
    }

    /// Whether all of a range is usable.
    pub fn contains(&self, start: u64, bytes: u64) -> bool {
        let Some(end) = start.checked_add(bytes) else { return false };
        self.as_slice().iter().any(|r| r.start <= start && end <= r.end)
    }

    /// The same without `hole`.
    pub fn without(&self, hole: Range) -> Result<Self, MapError> {
        let mut left = Self::new();
        for r in self.as_slice() {
            left.push(Range { start: r.start, end: r.end.min(hole.start) })?;
            left.push(Range { start: r.start.max(hole.end), end: r.end })?;
        }
        Ok(left)
    }
}

/// Reads a memory map of 24-byte entries, ended by one of zero pages or by the end of the area.
pub fn parse(area: &[u8]) -> Result<Ranges, MapError> {
    let mut usable = Ranges::new();
    let mut lowest = 0;
    for (index, entry) in area.chunks_exact(24).take(MAX_ENTRIES).enumerate() {
        let word =
            |at: usize| entry.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
        let (page, pages, kind) = (word(0), word(8), word(16) as u16);
        if pages == 0 {
            break;
        }
        let end = page.checked_add(pages).filter(|end| *end <= PHYSICAL_PAGES);
        let Some(end) = end else {
            // What is not usable memory may lie anywhere; it is not used.
            if kind != TYPE_MEMORY {
                continue;
            }
            return Err(MapError::OutOfRange { index });
        };
        if kind == TYPE_MEMORY {
            if page < lowest {
                return Err(MapError::OutOfOrder { index });
            }
            lowest = end;
            usable.push(Range { start: page * PAGE, end: end * PAGE })?;
        }
    }
    usable.without(LEGACY_HOLE)
}
