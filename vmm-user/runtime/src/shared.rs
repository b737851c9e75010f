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

/// A place in the address space where shared memory is mapped, one after another: for a process that maps
/// what others pass, as often as they like.
#[derive(Debug)]
pub struct SharedPlace {
    address: u64,
    room: u64,
    /// How much is mapped there.
    bytes: u64,
}

impl SharedPlace {
    /// A place for so many bytes, in whole pages, where nothing is mapped yet.
    ///
    /// # Errors
    /// Exhausted: address space.
    pub fn try_new(bytes: u64) -> Result<Self, Status> {
        let room = bytes.next_multiple_of(4096);
        Ok(Self { address: heap::reserve(room).ok_or(Status::Exhausted)?, room, bytes: 0 })
    }

    /// Maps all of it there, to be read, or read and written. What was mapped before goes, whatever comes of
    /// this.
    ///
    /// # Errors
    /// The kernel's. BadArgument: it is larger than the place.
    pub fn map(&mut self, memory: SharedMemory, permissions: Permissions) -> Result<(), Status> {
        if self.bytes > 0 {
            call(HANDLE_SELF, ProcessUnmap { address: self.address, bytes: self.bytes })?;
        }
        self.bytes = 0;
        let bytes = memory.bytes()?;
        if bytes > self.room {
            return Err(Status::BadArgument);
        }
        // A mapping that fails may have mapped some of it, which the next one would find.
        let (address, permissions) = (self.address, permissions.bits());
        let map = SharedMap { address, offset: 0, bytes, permissions, reserved: 0 };
        if let Err(status) = call(memory.0, map) {
            call(HANDLE_SELF, ProcessUnmap { address, bytes })?;
            return Err(status);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// What is mapped there, as words. A store through a mapping that is only to be read ends the process.
    pub fn words(&self) -> &[AtomicU64] {
        let count = (self.bytes / size_of::<AtomicU64>() as u64) as usize;
        // SAFETY: mapped until `map` is called again, which takes this value alone; aligned to a page, and
        // never seen but as atomic words.
        unsafe { core::slice::from_raw_parts(self.address as *const AtomicU64, count) }
    }
}

impl Drop for SharedMapping {
    fn drop(&mut self) {
        // What cannot be unmapped for lack of memory stays until the process ends.
        let _ = call(HANDLE_SELF, ProcessUnmap { address: self.address, bytes: self.bytes });
    }
}
