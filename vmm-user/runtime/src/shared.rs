//! Memory that several processes map.
#![allow(unsafe_code, reason = "mapped memory as words that others change")]

use core::sync::atomic::AtomicU64;

use vcpu_abi::operation::{
    HANDLE_SELF, Handle, Permissions, ProcessUnmap, SharedCreate, SharedInfo, SharedMap,
};
use vcpu_abi::status::Status;

use crate::heap;
use crate::syscall::call;

/// Memory that several processes may map.
#[derive(Clone, Copy, Debug)]
pub struct SharedMemory(pub Handle);

/// A mapping of it, which goes with this value. Others may change what is there at any time, so it is seen as
/// atomic words alone.
#[derive(Debug)]
pub struct SharedMapping {
    address: u64,
    bytes: u64,
}

impl SharedMemory {
    /// New zeroed memory of so many bytes, in whole pages.
    pub fn try_new(bytes: u64) -> Result<Self, Status> {
        call(HANDLE_SELF, SharedCreate { bytes, handle: 0, reserved: 0 }).map(|made| Self(made.handle))
    }

    /// Its size in bytes.
    pub fn bytes(self) -> Result<u64, Status> {
        call(self.0, SharedInfo::default()).map(|info| info.bytes)
    }

    /// Maps all of it, to be read, or read and written. Address space is not used twice.
    pub fn map(self, permissions: Permissions) -> Result<SharedMapping, Status> {
        let bytes = self.bytes()?;
        // Never given back: a pointer that outlived its mapping would lead into another one.
        let address = heap::reserve(bytes).ok_or(Status::Exhausted)?;
        let mapping = SharedMapping { address, bytes };
        let permissions = permissions.bits();
        call(self.0, SharedMap { address, offset: 0, bytes, permissions, reserved: 0 })?;
        Ok(mapping)
    }
}

impl SharedMapping {
    /// The memory, as words. A store through a mapping that is only to be read ends the process.
    pub fn words(&self) -> &[AtomicU64] {
        let count = (self.bytes / size_of::<AtomicU64>() as u64) as usize;
        // SAFETY: mapped as long as this value lives, aligned to a page, and never seen but as atomic words.
        unsafe { core::slice::from_raw_parts(self.address as *const AtomicU64, count) }
    }
}

impl Drop for SharedMapping {
    fn drop(&mut self) {
        // What cannot be unmapped for lack of memory stays until the process ends.
        let _ = call(HANDLE_SELF, ProcessUnmap { address: self.address, bytes: self.bytes });
    }
}
