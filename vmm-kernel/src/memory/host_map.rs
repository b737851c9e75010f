//! The host's memory map: hostile input, checked here and turned into ranges that say what they are.
//!
//! Form: IGVM's `IGVM_VHS_MEMORY_MAP_ENTRY` (crate `igvm_defs`): page number, pages, type, flags.

use crate::layout::PAGE;

/// The most usable ranges.
pub const MAX_RANGES: usize = 64;
/// Physical memory ends here at the latest: 40 bits, what every processor that can run guests has.
const PHYSICAL_BITS: u32 = 40;
const ENTRY_BYTES: usize = 24;
const TYPE_MEMORY: u16 = 0;
/// What is never memory on a PC, whatever the host says. Memory there would be Plinth's own APICs in the
/// guest's hands, or would hide the devices that the VMM puts on the guest's board.
pub const NEVER_MEMORY: [Range; 2] = [
    // Video memory and ROMs; QEMU's map has no hole there.
    Range { start: 0xa_0000, end: 0x10_0000 },
    // The board's ECAM window, I/O APIC, HPET and local APICs; the host's, its flash, and where it places its
    // devices.
    Range { start: 0xe000_0000, end: 0x1_0000_0000 },
];
/// The lowest of the two is not worth a word: the map of an ordinary host has it.
const DEVICES: Range = NEVER_MEMORY[1];
/// How many pages of a range are tried, besides the first and the last.
const SAMPLES: u64 = 1024;
/// Ranges are tried at steps of this many bytes at least.
const SAMPLE_STEP: u64 = 8 * 1024 * 1024;

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
    /// Memory entries are not in order, or overlap.
    OutOfOrder {
        /// Which.
        index: usize,
    },
    /// More usable ranges than are kept.
    TooMany,
    /// Plinth's window is not in usable memory.
    WindowMissing,
    /// The map has no entry at all.
    Empty,
    /// There is no memory where the map has some.
    NoMemory {
        /// Where that was found.
        address: u64,
    },
}

impl core::fmt::Display for MapError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::OutOfRange { index } => {
                write!(f, "its entry {index} reaches past the processor's physical addresses")
            }
            Self::OutOfOrder { index } => {
                write!(f, "its entry {index} is below, or overlaps, the one before")
            }
            Self::TooMany => write!(f, "it leaves more than {MAX_RANGES} separate ranges of memory"),
            Self::WindowMissing => write!(f, "Plinth's own memory, which the image says, is not in it"),
            Self::Empty => write!(f, "it is empty"),
            Self::NoMemory { address } => {
                write!(f, "it has memory at {address:#x}, where nothing holds what is written")
            }
        }
    }
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
        // What is left on one side of a hole may be nothing.
        if range.start >= range.end {
            return Ok(());
        }
        // Adjacent ranges become one, since a range is looked for within a single one.
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

    /// Whether any of a range is usable.
    pub fn overlaps(&self, range: Range) -> bool {
        self.as_slice().iter().any(|r| r.start < range.end && range.start < r.end)
    }

    /// The same without `hole`.
    pub fn without(&self, hole: Range) -> Result<Self, MapError> {
        let mut left = Self::new();
        if hole.start >= hole.end {
            return Ok(self.clone());
        }
        for r in self.as_slice() {
            left.push(Range { start: r.start, end: r.end.min(hole.start) })?;
            left.push(Range { start: r.start.max(hole.end), end: r.end })?;
        }
        Ok(left)
    }
}

/// What a memory map comes to.
#[derive(Clone, Debug)]
pub struct HostMap {
    /// What may be used.
    pub usable: Ranges,
    /// The host also called memory what are devices. It was taken away.
    pub over_devices: bool,
}

/// An entry of the map, in pages.
struct Entry {
    start: u64,
    pages: u64,
    kind: u16,
}

impl Entry {
    /// The bytes it covers; `None` where it reaches past `limit`, in pages.
    fn range(&self, limit: u64) -> Option<Range> {
        // The host's numbers. Below the limit, which is far from 64 bits, neither product overflows.
        let end = self.start.checked_add(self.pages).filter(|end| *end <= limit)?;
        Some(Range { start: self.start * PAGE, end: end * PAGE })
    }

    /// The same, cut off at `limit`.
    fn cut(&self, limit: u64) -> Range {
        let end = self.start.saturating_add(self.pages).min(limit);
        Range { start: self.start.min(limit) * PAGE, end: end * PAGE }
    }
}

/// The entries of a map: 24 bytes each, ended by one of zero pages or by the end of the area.
fn entries(area: &[u8]) -> impl Iterator<Item = (usize, Entry)> {
    let entry = |bytes: &[u8]| {
        let word =
            |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
        Entry { start: word(0), pages: word(8), kind: word(16) as u16 }
    };
    area.chunks_exact(ENTRY_BYTES).map(entry).take_while(|entry| entry.pages != 0).enumerate()
}

/// Reads a memory map for a processor with so many bits of physical address. Entries of memory must be in
/// order and within reach; what any other entry covers is not memory, wherever that entry comes and whatever
/// else the map says of the place.
pub fn parse(area: &[u8], physical_bits: u32) -> Result<HostMap, MapError> {
    // How many bits an address has is the host's word as well: it is held within what processors have.
    let limit = 1u64 << (physical_bits.clamp(32, PHYSICAL_BITS) - 12);
    let mut usable = Ranges::new();
    let mut lowest = 0;
    for (index, entry) in entries(area).filter(|(_, entry)| entry.kind == TYPE_MEMORY) {
        let range = entry.range(limit).ok_or(MapError::OutOfRange { index })?;
        if range.start < lowest {
            return Err(MapError::OutOfOrder { index });
        }
        lowest = range.end;
        usable.push(range)?;
    }
    if lowest == 0 {
        return Err(MapError::Empty);
    }
    // Where both are said, it is no memory: a guest can do without some, but not with a device's registers in
    // its place. Such an entry may reach beyond what there is, and is cut.
    for (_, entry) in entries(area).filter(|(_, entry)| entry.kind != TYPE_MEMORY) {
        usable = usable.without(entry.cut(limit))?;
    }
    let over_devices = usable.overlaps(DEVICES);
    for hole in NEVER_MEMORY {
        usable = usable.without(hole)?;
    }
    Ok(HostMap { usable, over_devices })
}

/// Tries what the map calls memory: `holds` says whether the page at an address keeps what is written to it.
/// Of each range the first and the last page are tried, and pages between at steps that make it [`SAMPLES`]
/// at most: gigabytes are not walked.
pub fn check(ranges: &[Range], mut holds: impl FnMut(u64) -> bool) -> Result<(), MapError> {
    for range in ranges.iter().filter(|range| range.start < range.end) {
        let step = ((range.end - range.start) / SAMPLES).next_multiple_of(PAGE).max(SAMPLE_STEP);
        let between = (range.start..range.end).step_by(step as usize);
        for address in between.chain([range.end - PAGE]) {
            if !holds(address) {
                return Err(MapError::NoMemory { address });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
