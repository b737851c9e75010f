//! Pools: fixed numbers of objects of a kind, counted references to them, and no heap.
//!
//! Every kind of kernel object has one pool; that it is full is a status, not a failure of the kernel.
#![allow(unsafe_code, reason = "counted references to objects in place")]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};

use vcpu_abi::status::Status;

pub mod any;

/// What is known of a place, whatever is in it.
struct Count {
    claimed: AtomicBool,
    references: AtomicU32,
}

/// A place for one object, which comes first: a pointer to it is then one to the place, and where there is
/// no reference there is no pointer.
#[repr(C)]
pub struct Slot<T> {
    value: UnsafeCell<MaybeUninit<T>>,
    count: Count,
}

/// A fixed number of places.
pub struct Pool<T, const N: usize> {
    slots: [Slot<T>; N],
}

// SAFETY: objects are only handed out as shared references through `Ref`, whose counts are atomic.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

/// A counted reference to an object in a pool. The last one drops the object.
pub struct Ref<T: 'static> {
    slot: &'static Slot<T>,
}

impl<T, const N: usize> Pool<T, N> {
    /// A pool with all places free.
    pub const fn new() -> Self {
        Self {
            slots: [const {
                Slot {
                    value: UnsafeCell::new(MaybeUninit::uninit()),
                    count: Count { claimed: AtomicBool::new(false), references: AtomicU32::new(0) },
                }
            }; N],
        }
    }

    /// Makes an object in a free place. `make` learns the place's index.
    pub fn try_insert(
        &'static self,
        make: impl FnOnce(usize) -> Result<T, Status>,
    ) -> Result<Ref<T>, Status> {
        let claim = |s: &&Slot<T>| {
            // Acquire: the object that was here before has been dropped altogether.
            s.count.claimed.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        let (index, slot) = self.slots.iter().enumerate().find(|(_, s)| claim(s)).ok_or(Status::Exhausted)?;
        let value = make(index).inspect_err(|_| slot.count.claimed.store(false, Ordering::Release))?;
        // SAFETY: the place is claimed by us alone and has no references.
        unsafe { (*slot.value.get()).write(value) };
        // From here on `iter` finds the object, and sees all of it.
        slot.count.references.store(1, Ordering::Release);
        Ok(Ref { slot })
    }

    /// References to all objects there are.
    pub fn iter(&'static self) -> impl Iterator<Item = Ref<T>> {
        self.slots.iter().filter_map(|slot| {
            let up = slot
                .count
                .references
                // At zero the object is on its way out, and nobody may hold it any more.
                .fetch_update(Ordering::Acquire, Ordering::Relaxed, |n| (n > 0).then_some(n + 1));
            up.ok().map(|_| Ref { slot })
        })
    }
}

impl<T> Ref<T> {
    /// Whether two references are to the same object.
    pub fn same(&self, other: &Self) -> bool {
        core::ptr::eq(self.slot, other.slot)
    }
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        self.slot.count.add();
        Self { slot: self.slot }
    }
}

impl<T> Deref for Ref<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the place holds an object as long as a reference exists.
        unsafe { (*self.slot.value.get()).assume_init_ref() }
    }
}

impl Count {
    /// One reference more.
    #[inline(always)]
    fn add(&self) {
        // Relaxed: who makes a reference has one, so the object is there, and stays.
        let before = self.references.fetch_add(1, Ordering::Relaxed);
        // Every reference sits in a bounded table, so that 2^31 of them is a bug.
        assert!(before < u32::MAX / 2, "a reference count ran over");
    }

    /// One less. Whether it was the last one.
    #[inline(always)]
    fn remove(&self) -> bool {
        self.references.fetch_sub(1, Ordering::Release) == 1
    }
}

impl<T> Slot<T> {
    /// Drops the object: what few references do, and so kept out of the way of the others. By the place, not
    /// by the reference to it, whose address the compiler would have to keep for this.
    #[cold]
    #[inline(never)]
    fn drop_object(&self) {
        // All that others did to the object before they let go of it comes before its end (their decrements
        // release).
        fence(Ordering::Acquire);
        // SAFETY: this was the last reference, and `iter` makes none of a count of zero.
        unsafe { (*self.value.get()).assume_init_drop() };
        self.count.claimed.store(false, Ordering::Release);
    }
}

impl<T> Drop for Ref<T> {
    fn drop(&mut self) {
        let slot = self.slot;
        if slot.count.remove() {
            slot.drop_object();
        }
    }
}

#[cfg(test)]
mod tests;
