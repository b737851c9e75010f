//! The address space of a process.
#![allow(unsafe_code, reason = "CR3 says what memory is")]

use core::sync::atomic::{AtomicU64, Ordering};

use vcpu_abi::status::Status;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use super::tables::{OWNED, Tables};
use super::{MemoryError, frames};
use crate::checks;
use crate::cpu::this_cpu;
use crate::layout::{PAGE, USER_END, USER_START};
use crate::sync::SpinLock;

/// What a process may do with a page of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Read.
    Read,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
}

impl Protection {
    fn flags(self) -> Flags {
        let base = Flags::PRESENT | Flags::USER_ACCESSIBLE;
        match self {
            Self::Read => base | Flags::NO_EXECUTE,
            Self::ReadWrite => base | Flags::WRITABLE | Flags::NO_EXECUTE,
            Self::ReadExecute => base,
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

/// Makes an address space this processor's, if it is not.
///
/// # Safety
/// It is the root of tables that share the kernel's half, and they stay until another is loaded.
pub unsafe fn load(root: PhysFrame) {
    let cpu = this_cpu();
    if cpu.space.replace(root) != root {
        // SAFETY: the caller's promise; in the kernel's half this code, its stack and its data lie.
        unsafe { Cr3::write(root, Cr3Flags::empty()) };
        checks::tlb::root_loaded(root);
    }
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
    /// An address space with nothing in its lower half.
    pub fn try_new(kernel_root: PhysFrame) -> Result<Self, MemoryError> {
        let tables = Tables::try_new()?;
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
        check(address, bytes)?;
        let tables = self.tables.lock();
        for at in (address..address + bytes).step_by(PAGE as usize) {
            let frame = frames::allocate_zeroed()?;
            tables.map(at, frame, protection.flags() | OWNED).inspect_err(|_| frames::free(frame))?;
            self.pages.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
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
        check(address, bytes)?;
        self.tables.lock().map_range(address, physical, bytes, protection.flags())
    }

    /// Checks that a range may be mapped and that none of it is.
    pub fn check_free(&self, address: u64, bytes: u64) -> Result<(), MemoryError> {
        check(address, bytes)?;
        let tables = self.tables.lock();
        let mut pages = (address..address + bytes).step_by(PAGE as usize);
        if pages.any(|at| tables.lookup(at).is_some()) { Err(MemoryError::Occupied) } else { Ok(()) }
    }

    /// The frame behind a page of the process's.
    pub fn lookup(&self, address: u64) -> Result<PhysFrame, Status> {
        check(address & !(PAGE - 1), PAGE).map_err(|_| Status::BadPointer)?;
        self.tables.lock().lookup(address).ok_or(Status::BadPointer)
    }
}

#[cfg(test)]
mod tests;
