//! The host's memory map: validated, sorted, in pages.

use igvm_defs::MemoryMapEntryType;

use crate::PAGE_BYTES;
use crate::extents::{Extent, Extents};

/// Most entries of a memory map. QEMU gives about ten.
pub const MAX_ENTRIES: usize = 128;

/// The E820 type of RAM.
const E820_RAM: u32 = 1;

/// One entry: a page-aligned range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub extent: Extent,
    /// RAM, as opposed to reserved for whatever reason.
    pub ram: bool,
}

impl Entry {
    /// The type of IGVM's memory map.
    pub fn kind(self) -> MemoryMapEntryType {
        if self.ram { MemoryMapEntryType::MEMORY } else { MemoryMapEntryType::PLATFORM_RESERVED }
    }
}

/// What is wrong with a memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// More than [`MAX_ENTRIES`].
    #[error("the host's memory map has more than {MAX_ENTRIES} entries")]
    TooMany,
    /// An entry runs past the end of the address space.
    #[error("the host's memory map has an entry at {0:#x} that wraps around")]
    Wraps(u64),
    /// Two entries claim the same page.
    #[error("the host's memory map has overlapping entries at {0:#x} and {1:#x}")]
    Overlap(u64, u64),
}

/// Entries in ascending order without overlaps.
#[derive(Clone, Debug)]
pub struct MemoryMap {
    entries: [Entry; MAX_ENTRIES],
    used: usize,
}

impl Default for MemoryMap {
    fn default() -> Self {
        Self { entries: [Entry::default(); MAX_ENTRIES], used: 0 }
    }
}

impl MemoryMap {
    /// Adds an entry of an E820-like table. Bytes that are not surely RAM are not RAM: what is RAM shrinks to
    /// whole pages, what is not grows to whole pages.
    ///
    /// # Errors
    /// [`MapError::TooMany`], [`MapError::Wraps`].
    pub fn add(&mut self, address: u64, bytes: u64, kind: u32) -> Result<(), MapError> {
        let wraps = MapError::Wraps(address);
        let exact = Extent::new(address, bytes).ok_or(wraps)?;
        let ram = kind == E820_RAM;
        let extent = if ram {
            Extent {
                start: exact.start.checked_next_multiple_of(PAGE_BYTES).ok_or(wraps)?,
                end: exact.end - exact.end % PAGE_BYTES,
            }
        } else {
            Extent {
                start: exact.start - exact.start % PAGE_BYTES,
                end: exact.end.checked_next_multiple_of(PAGE_BYTES).ok_or(wraps)?,
            }
        };
        // RAM of less than a page: nothing is left of it.
        if extent.start >= extent.end {
            return Ok(());
        }
        self.push(Entry { extent, ram })
    }

    fn push(&mut self, entry: Entry) -> Result<(), MapError> {
        *self.entries.get_mut(self.used).ok_or(MapError::TooMany)? = entry;
        self.used += 1;
        Ok(())
    }

    /// Sorts the entries, checks that no two overlap, and merges reserved ones that share a page by rounding.
    ///
    /// # Errors
    /// [`MapError::Overlap`] if RAM is claimed twice, or claimed and reserved.
    pub fn finish(mut self) -> Result<Self, MapError> {
        let all = self.entries.get_mut(..self.used).unwrap_or(&mut []);
        // No promise of the protocol says that they come in order.
        all.sort_unstable_by_key(|entry| entry.extent.start);
        let mut map = Self::default();
        for entry in self.entries() {
            match map.entries.get_mut(..map.used).and_then(|sorted| sorted.last_mut()) {
                Some(last) if last.extent.overlaps(entry.extent) => {
                    // Reserved ranges may share a page since they were rounded up; RAM was rounded down, so
                    // who overlaps it contradicts it.
                    if last.ram || entry.ram {
                        return Err(MapError::Overlap(last.extent.start, entry.extent.start));
                    }
                    last.extent.end = last.extent.end.max(entry.extent.end);
                }
                _ => map.push(*entry)?,
            }
        }
        Ok(map)
    }

    /// The entries in ascending order.
    pub fn entries(&self) -> &[Entry] {
        self.entries.get(..self.used).unwrap_or(&[])
    }

    /// The RAM, adjacent entries merged.
    pub fn ram(&self) -> Extents<MAX_ENTRIES> {
        let mut ram = Extents::default();
        for entry in self.entries().iter().filter(|entry| entry.ram) {
            // Never full: there are at most as many extents as entries.
            let _ = ram.insert(entry.extent);
        }
        ram
    }
}

#[cfg(test)]
mod tests;
