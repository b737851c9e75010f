//! Memory that several processes may map.
//!
//! The frames are held by tables that no processor ever walks: the offset of a page is its address there.
//! Each mapping of a page holds its frame as well ([`bitmap::share`]), so a frame is free again when the
//! object and the last mapping have gone, in whatever order.

use vcpu_abi::status::Status;
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use super::payer::Payer;
use super::tables::Tables;
use super::{MemoryError, bitmap, frames};
use crate::layout::PAGE;
use crate::object::budget::{Account, Charge, Kind};
use crate::object::pool::{Pool, Ref};

/// The most objects there are.
const OBJECTS_MAX: usize = 64;
static OBJECTS: Pool<SharedMemory, OBJECTS_MAX> = Pool::new();
/// The most memory that one object has.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How many pages are zeroed in one go: nothing preempts the kernel meanwhile.
const NEW_PAGES: u64 = 16;

/// Memory that several processes may map.
pub struct SharedMemory {
    tables: Tables,
    bytes: u64,
    _charge: Charge,
}

impl SharedMemory {
    /// An object without its pages yet, which [`Self::fill_some`] gives it.
    /// Both count for who makes it.
    pub fn try_new(bytes: u64, account: &Ref<Account>) -> Result<Ref<Self>, Status> {
        if !bytes.is_multiple_of(PAGE) || bytes == 0 || bytes > BYTES_MAX {
            return Err(Status::BadArgument);
        }
        let charge = Charge::one(account, Kind::Objects)?;
        OBJECTS
            .try_insert(|_| Ok(Self { tables: Tables::try_new(Payer::of(account))?, bytes, _charge: charge }))
    }

    /// Gives it zeroed pages behind the first bytes, which are done: as many as are done in one go. Nobody
    /// else knows the object yet. Returns how much that was.
    pub fn fill_some(&self, done: u64) -> Result<u64, MemoryError> {
        let now = (self.bytes - done).min(NEW_PAGES * PAGE);
        for offset in (done..done + now).step_by(PAGE as usize) {
            // Present and no more: no processor walks these tables.
            self.tables.map_own(offset, Flags::PRESENT, frames::allocate_zeroed)?;
        }
        Ok(now)
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether a range is a part of it.
    pub fn contains(&self, offset: u64, bytes: u64) -> bool {
        offset.checked_add(bytes).is_some_and(|end| end <= self.bytes)
    }

    /// The frame of the page at an offset, for a mapping, which gives it back like one of its own.
    pub fn share(&self, offset: u64) -> Result<PhysFrame, MemoryError> {
        let frame = self.tables.lookup(offset).ok_or(MemoryError::NotMapped)?;
        // Counted before anybody maps it: from here on it is not free, whatever becomes of the object.
        bitmap::share(frame)?;
        Ok(frame)
    }
}

#[cfg(test)]
mod tests;
