//! Page tables of processes and of guests (nested tables have the same form: APM volume 2, 15.25.5): four levels, made and
//! walked through temporary mappings.

use x86_64::PhysAddr;
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use super::layout::PAGE;
use super::{MemoryError, frames, temporary};

/// Marks a leaf whose frame belongs to the tables and is freed with them (a bit the processor ignores).
pub const OWNED: Flags = Flags::BIT_9;
/// The most memory that is mapped at addresses which do not allow large pages: nothing preempts the kernel meanwhile.
const SMALL_PAGES_MAX: u64 = 16 * 1024 * 1024;
/// Size of a large page.
pub const LARGE_PAGE: u64 = 2 * 1024 * 1024;

/// The root of a set of tables.
#[derive(Debug)]
pub struct Tables {
    root: PhysFrame,
}

fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * (level - 1))) as usize & 511
}

impl Tables {
    /// Empty tables.
    pub fn try_new() -> Result<Self, MemoryError> {
        Ok(Self { root: frames::allocate_zeroed()? })
    }

    /// The root, as CR3 or nCR3 wants it.
    pub fn root(&self) -> PhysFrame {
        self.root
    }

    /// Copies the kernel's half from other tables.
    pub fn share_kernel(&self, kernel_root: PhysFrame) {
        let mut kernel = [0u64; 512];
        temporary::with_frame(kernel_root, |words| kernel.copy_from_slice(words));
        temporary::with_frame(self.root, |words| {
            words[256..].copy_from_slice(&kernel[256..]);
            let own = self.root.start_address().as_u64()
                | (Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE).bits();
            words[vcpu_abi::boot::SELF_MAP_SLOT] = own;
        });
    }

    /// The table at `level` that `address` belongs to, made if need be.
    fn table_for(&self, address: u64, level: u32) -> Result<PhysFrame, MemoryError> {
        let mut table = self.root;
        for at in ((level + 1)..=4).rev() {
            let found = temporary::with_table(table, |t| {
                let entry = &t[index(address, at)];
                if entry.is_unused() {
                    return Ok(None);
                }
                if entry.flags().contains(Flags::HUGE_PAGE) {
                    return Err(MemoryError::Occupied);
                }
                Ok(Some(entry.addr()))
            })?;
            let next = match found {
                Some(address) => PhysFrame::containing_address(address),
                None => {
                    let new = frames::allocate_zeroed()?;
                    let flags = Flags::PRESENT | Flags::WRITABLE | Flags::USER_ACCESSIBLE;
                    temporary::with_table(table, |t| {
                        t[index(address, at)].set_addr(new.start_address(), flags)
                    });
                    new
                }
            };
            table = next;
        }
        Ok(table)
    }

    fn map_leaf(&self, address: u64, to: PhysAddr, level: u32, flags: Flags) -> Result<(), MemoryError> {
        let table = self.table_for(address, level)?;
        temporary::with_table(table, |t| {
            let entry = &mut t[index(address, level)];
            if !entry.is_unused() {
                return Err(MemoryError::Occupied);
            }
            entry.set_addr(to, flags);
            Ok(())
        })
    }

    /// Maps one page.
    pub fn map(&self, address: u64, frame: PhysFrame, flags: Flags) -> Result<(), MemoryError> {
        self.map_leaf(address, frame.start_address(), 1, flags)
    }

    /// Maps a physically contiguous range, with large pages where both addresses allow. What was mapped before a failure stays.
    pub fn map_range(&self, address: u64, to: u64, bytes: u64, flags: Flags) -> Result<(), MemoryError> {
        if bytes > SMALL_PAGES_MAX && !(address ^ to).is_multiple_of(LARGE_PAGE) {
            return Err(MemoryError::BadRange);
        }
        let mut done = 0;
        while done < bytes {
            let (at, target) = (address + done, PhysAddr::new_truncate(to + done));
            let large = (at | target.as_u64()).is_multiple_of(LARGE_PAGE) && bytes - done >= LARGE_PAGE;
            if large {
                self.map_leaf(at, target, 2, flags | Flags::HUGE_PAGE)?;
                done += LARGE_PAGE;
            } else {
                self.map_leaf(at, target, 1, flags)?;
                done += PAGE;
            }
        }
        Ok(())
    }

    /// The frame of a 4 KiB page that is mapped at `address`.
    pub fn lookup(&self, address: u64) -> Option<PhysFrame> {
        let mut table = self.root;
        for level in (1..=4).rev() {
            let (entry_address, flags) = temporary::with_table(table, |t| {
                let entry = &t[index(address, level)];
                (entry.addr(), entry.flags())
            });
            if !flags.contains(Flags::PRESENT) || (level > 1 && flags.contains(Flags::HUGE_PAGE)) {
                return None;
            }
            table = PhysFrame::containing_address(entry_address);
        }
        Some(table)
    }

    /// Frees the frames that the lower half owns, and its tables.
    fn free_level(table: PhysFrame, level: u32, entries: core::ops::Range<usize>) {
        for i in entries {
            let (address, flags) = temporary::with_table(table, |t| (t[i].addr(), t[i].flags()));
            if !flags.contains(Flags::PRESENT) {
                continue;
            }
            let frame = PhysFrame::containing_address(address);
            let leaf = level == 1 || flags.contains(Flags::HUGE_PAGE);
            if !leaf {
                Self::free_level(frame, level - 1, 0..512);
            } else if flags.contains(OWNED) {
                frames::free(frame);
            }
        }
        frames::free(table);
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        // The lower half is all that such tables own; of nested tables, it is all there is.
        Self::free_level(self.root, 4, 0..256);
    }
}

#[cfg(test)]
mod tests;
