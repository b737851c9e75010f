//! Page tables of processes and of guests (nested tables have the same form: APM volume 2, 15.25.5): four
//! levels, made and walked through temporary mappings.

use x86_64::PhysAddr;
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use super::entry::Entry;
use super::payer::{OWNED, Payer};
use super::words::COUNT;
use super::{MemoryError, frames, graves, temporary};
use crate::checks;
use crate::layout::PAGE;

/// The most memory that is mapped at addresses which do not allow large pages: each page takes room in a
/// table.
const SMALL_PAGES_MAX: u64 = 16 * 1024 * 1024;
/// Size of a large page.
pub const LARGE_PAGE: u64 = 2 * 1024 * 1024;
/// How many leaves are made in one go: nothing preempts the kernel meanwhile.
const LEAVES: u32 = 64;
/// The flags of an entry that leads to a table: what may be done is said by the leaves.
pub(super) const TABLE: Flags = Flags::PRESENT.union(Flags::WRITABLE).union(Flags::USER_ACCESSIBLE);

/// The root of a set of tables.
pub struct Tables {
    root: PhysFrame,
    /// How many of the root's entries, from the first on, lead to tables of its own.
    own_entries: usize,
    payer: Payer,
}

/// Checks that a range is not too long for the pages that both addresses allow.
pub fn check_length(address: u64, to: u64, bytes: u64) -> Result<(), MemoryError> {
    let is_large = (address ^ to).is_multiple_of(LARGE_PAGE);
    if is_large || bytes <= SMALL_PAGES_MAX { Ok(()) } else { Err(MemoryError::BadRange) }
}

pub(super) fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * (level - 1))) as usize & 511
}

impl Tables {
    /// Empty tables, of which somebody pays for the frames.
    pub fn try_new(payer: Payer) -> Result<Self, MemoryError> {
        Ok(Self { root: payer.take(frames::allocate_zeroed)?, own_entries: COUNT, payer })
    }

    /// Who pays for the frames.
    pub(super) fn payer(&self) -> &Payer {
        &self.payer
    }

    /// Maps a frame that is taken for it, and is the tables' own from then on.
    pub fn map_own(
        &self,
        address: u64,
        flags: Flags,
        take: impl FnOnce() -> Result<PhysFrame, MemoryError>,
    ) -> Result<PhysFrame, MemoryError> {
        let frame = self.payer.take(take)?;
        self.map(address, frame, flags | OWNED).inspect_err(|_| self.payer.give(frame))?;
        Ok(frame)
    }

    /// The root, whose address the processor is given.
    pub fn root(&self) -> PhysFrame {
        self.root
    }

    /// Copies the kernel's half from other tables, which go on owning it.
    pub fn share_kernel(&mut self, kernel_root: PhysFrame) {
        self.own_entries = COUNT / 2;
        let flags = Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE;
        temporary::with_frame(kernel_root, |kernel| {
            temporary::with_frame(self.root, |words| {
                (COUNT / 2..COUNT).for_each(|index| words.at(index).set(kernel.at(index).get()));
                // The entry that was copied leads to the other root; each root maps itself.
                let itself = Entry::encode(self.root.start_address(), flags);
                words.set_entry(vcpu_abi::boot::SELF_MAP_SLOT, itself);
            });
        });
    }

    /// The table at `level` that `address` belongs to, made if need be.
    fn table_for(&self, address: u64, level: u32) -> Result<PhysFrame, MemoryError> {
        let mut table = self.root;
        for at in ((level + 1)..=4).rev() {
            let place = index(address, at);
            let entry = temporary::with_frame(table, |words| words.entry(place));
            // To go down here would take the contents of a large page, which a guest or a process wrote, for
            // a table.
            if entry.flags().contains(Flags::HUGE_PAGE) {
                return Err(MemoryError::Occupied);
            }
            table = if entry.is_unused() {
                let new = self.payer.take(frames::allocate_zeroed)?;
                let entry = Entry::encode(new.start_address(), TABLE);
                temporary::with_frame(table, |words| words.set_entry(place, entry));
                new
            } else {
                PhysFrame::containing_address(entry.address())
            };
        }
        Ok(table)
    }

    fn map_leaf(&self, address: u64, to: PhysAddr, level: u32, flags: Flags) -> Result<(), MemoryError> {
        let table = self.table_for(address, level)?;
        temporary::with_frame(table, |words| {
            let place = index(address, level);
            // Never replaced: the page that is there may be in TLBs, and nobody would be asked to forget it.
            if !words.entry(place).is_unused() {
                return Err(MemoryError::Occupied);
            }
            // Without a flush: what was not present is not cached (APM volume 2, 5.5.2).
            words.set_entry(place, Entry::encode(to, flags));
            Ok(())
        })
    }

    /// Maps one page.
    pub fn map(&self, address: u64, frame: PhysFrame, flags: Flags) -> Result<(), MemoryError> {
        self.map_leaf(address, frame.start_address(), 1, flags)
    }

    /// Maps a physically contiguous range, with large pages where both addresses allow: as much of it as is
    /// done in one go. Returns how much that was. What was mapped before a failure stays.
    pub fn map_some(&self, address: u64, to: u64, bytes: u64, flags: Flags) -> Result<u64, MemoryError> {
        let (mut done, mut leaves) = (0, 0);
        while done < bytes && leaves < LEAVES {
            let (at, target) = (address + done, PhysAddr::new_truncate(to + done));
            let large = (at | target.as_u64()).is_multiple_of(LARGE_PAGE) && bytes - done >= LARGE_PAGE;
            if large {
                self.map_leaf(at, target, 2, flags | Flags::HUGE_PAGE)?;
                done += LARGE_PAGE;
            } else {
                self.map_leaf(at, target, 1, flags)?;
                done += PAGE;
            }
            leaves += 1;
        }
        Ok(done)
    }

    /// The entry that maps a page at `address`, of either size, and its level.
    fn leaf(&self, address: u64) -> Option<(u32, Entry)> {
        let mut table = self.root;
        for level in (1..=4).rev() {
            let entry = temporary::with_frame(table, |words| words.entry(index(address, level)));
            if entry.is_unused() {
                return None;
            }
            if level == 1 || entry.flags().contains(Flags::HUGE_PAGE) {
                return Some((level, entry));
            }
            table = PhysFrame::containing_address(entry.address());
        }
        None
    }

    /// The frame of a 4 KiB page that is mapped at `address`.
    pub fn lookup(&self, address: u64) -> Option<PhysFrame> {
        // A page that is there without any access (`edit`) is none here either.
        self.leaf(address)
            .filter(|(level, entry)| *level == 1 && entry.flags().contains(Flags::PRESENT))
            .map(|(_, entry)| PhysFrame::containing_address(entry.address()))
    }

    /// Whether nothing can be mapped at `address`, as there is a page of any size, be it without access.
    pub fn is_mapped(&self, address: u64) -> bool {
        self.leaf(address).is_some()
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        checks::tlb::root_goes(self.root);
        graves::bury(self.root, self.own_entries, self.payer.clone());
        // A test looks at once how many frames are free.
        while cfg!(not(target_os = "none")) && graves::some() {}
    }
}

#[cfg(test)]
pub(super) mod tests;
