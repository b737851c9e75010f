//! The address space of a process.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use vcpu_abi::status::Status;
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use super::edit::Edit;
use super::entry::SHARED;
use super::narrowing::{Cached, Narrowing};
use super::payer::Payer;
use super::shared::SharedMemory;
use super::shootdown::{self, What};
use super::tables::{self, Tables};
use super::{MemoryError, frames, loaded};
use crate::checks;
use crate::layout::{PAGE, USER_END, USER_START};
use crate::sync::SpinLock;

/// How many pages are zeroed and mapped in one go: nothing preempts the kernel meanwhile.
const NEW_PAGES: u64 = 16;

/// What a process may do with a page of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Read.
    Read,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
    /// Read and write, and never cache: registers of a device of the host's.
    Device,
    /// Read and write, as the host may: memory for one.
    Shared,
}

impl Protection {
    fn flags(self) -> Flags {
        // None of them is both writable and executable: a process makes no code of its data.
        let base = Flags::PRESENT | Flags::USER_ACCESSIBLE;
        match self {
            Self::Read => base | Flags::NO_EXECUTE,
            Self::ReadWrite => base | Flags::WRITABLE | Flags::NO_EXECUTE,
            Self::ReadExecute => base,
            // The fourth entry of the PAT after reset: uncacheable whatever else says of the range (APM
            // volume 2, 7.8).
            Self::Device => Self::Shared.flags() | Flags::NO_CACHE | Flags::WRITE_THROUGH,
            Self::Shared => Self::ReadWrite.flags() | SHARED,
        }
    }
}

/// An address space: the kernel's half shared, the lower half its own.
pub struct Space {
    tables: SpinLock<Tables>,
    root: PhysFrame,
    /// How many pages of its own it has.
    pages: AtomicU64,
}

/// Checks that a range is whole pages of the user's half.
fn check(address: u64, bytes: u64) -> Result<(), MemoryError> {
    let end = address.checked_add(bytes).ok_or(MemoryError::BadRange)?;
    let aligned = (address | bytes).is_multiple_of(PAGE);
    if !aligned || bytes == 0 || address < USER_START || end > USER_END {
        return Err(MemoryError::BadRange);
    }
    Ok(())
}

impl Space {
    /// An address space with nothing in its lower half. Somebody pays for what will be there.
    pub fn try_new(kernel_root: PhysFrame, payer: Payer) -> Result<Self, MemoryError> {
        let mut tables = Tables::try_new(payer)?;
        // Before anybody can load it: the kernel goes on running in there.
        tables.share_kernel(kernel_root);
        let root = tables.root();
        Ok(Self { tables: SpinLock::new(tables), root, pages: AtomicU64::new(0) })
    }

    /// For CR3.
    pub fn root(&self) -> PhysFrame {
        self.root
    }

    /// Maps new, zeroed memory. What was mapped before a failure stays, and goes with the process.
    pub fn allocate(&self, address: u64, bytes: u64, protection: Protection) -> Result<(), MemoryError> {
        let mut done = 0;
        // Once in any case: an empty range is refused, not passed over.
        while done < bytes.max(1) {
            done += self.allocate_some(address, bytes, done, protection)?;
        }
        Ok(())
    }

    /// The same behind the first bytes, which are done: as much of it as is done in one go. Returns how much
    /// that was.
    pub fn allocate_some(
        &self,
        address: u64,
        bytes: u64,
        done: u64,
        protection: Protection,
    ) -> Result<u64, MemoryError> {
        check(address, bytes)?;
        let tables = self.tables.lock();
        let now = (bytes - done).min(NEW_PAGES * PAGE);
        for at in (address + done..address + done + now).step_by(PAGE as usize) {
            tables.map_own(at, protection.flags(), frames::allocate_zeroed)?;
            // One by one: what is there when memory runs out stays, and counts.
            self.pages.fetch_add(1, Ordering::Relaxed);
        }
        Ok(now)
    }

    /// The memory of its own, in bytes.
    pub fn own_bytes(&self) -> u64 {
        self.pages.load(Ordering::Relaxed) * PAGE
    }

    /// Maps memory that belongs to somebody else.
    pub fn map_foreign(
        &self,
        address: u64,
        physical: u64,
        bytes: u64,
        protection: Protection,
    ) -> Result<(), MemoryError> {
        let mut done = 0;
        while done < bytes.max(1) {
            done += self.map_some(address, physical, bytes, done, protection)?;
        }
        Ok(())
    }

    /// The same behind the first bytes, which are done: as much of it as is done in one go. Returns how much
    /// that was.
    pub fn map_some(
        &self,
        address: u64,
        physical: u64,
        bytes: u64,
        done: u64,
        protection: Protection,
    ) -> Result<u64, MemoryError> {
        check(address, bytes)?;
        // For the whole range, though only a piece is mapped here: one that is too long is refused before its
        // first page.
        tables::check_length(address, physical, bytes)?;
        let (address, physical) = (address + done, physical + done);
        self.tables.lock().map_some(address, physical, bytes - done, protection.flags())
    }

    /// Maps a part of shared memory behind the first bytes of the range, which are done: as much of it as is
    /// done in one go. Returns how much that was. The pages count as its own.
    pub fn share_some(
        &self,
        address: u64,
        shared: &SharedMemory,
        part: Range<u64>,
        done: u64,
        protection: Protection,
    ) -> Result<u64, MemoryError> {
        let bytes = part.end - part.start;
        check(address, bytes)?;
        let tables = self.tables.lock();
        let now = (bytes - done).min(NEW_PAGES * PAGE);
        for done in (done..done + now).step_by(PAGE as usize) {
            tables.map_own(address + done, protection.flags(), || shared.share(part.start + done))?;
            self.pages.fetch_add(1, Ordering::Relaxed);
        }
        Ok(now)
    }

    /// Takes whatever is mapped out of a range. It is done when the value that is returned has done all of it
    /// and is gone.
    pub fn unmap(&self, address: u64, bytes: u64) -> Result<Narrowing<'_, Self>, MemoryError> {
        check(address, bytes)?;
        Ok(Narrowing::new(self, address..address + bytes, Edit::Remove))
    }

    /// Checks that a range may be mapped and that none of it is.
    pub fn check_free(&self, address: u64, bytes: u64) -> Result<(), MemoryError> {
        check(address, bytes)?;
        let tables = self.tables.lock();
        // Page by page: who asks here maps few, registers and memory of devices, in one go.
        let mut pages = (address..address + bytes).step_by(PAGE as usize);
        if pages.any(|at| tables.is_mapped(at)) { Err(MemoryError::Occupied) } else { Ok(()) }
    }

    /// The frame behind a page of the process's.
    pub fn lookup(&self, address: u64) -> Result<PhysFrame, Status> {
        // The kernel's half is in the same tables, and no page of it is a process's to name.
        check(address & !(PAGE - 1), PAGE).map_err(|_| Status::BadPointer)?;
        self.tables.lock().lookup(address).ok_or(Status::BadPointer)
    }
}

impl Cached for Space {
    fn with_tables<R>(&self, f: impl FnOnce(&mut Tables) -> R) -> R {
        f(&mut self.tables.lock())
    }

    fn shoot_down(&self) {
        shootdown::forget(What::Space, |cpu| loaded::may_be_on(cpu, self.root));
    }

    fn tables_change(&self) -> u64 {
        checks::tlb::space_changes()
    }

    fn change_is_over(&self, change: u64) {
        checks::tlb::space_is_forgotten(self.root, change);
    }

    fn lost_pages(&self, pages: u64) {
        self.pages.fetch_sub(pages, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
