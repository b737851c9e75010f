//! The object that a thread named last, found by its handle: it saves the look-up the next time.
#![allow(unsafe_code, reason = "what the running thread alone touches, and a pointer to what it keeps")]

use core::cell::Cell;

use vcpu_abi::operation::Handle;

use crate::object::pool::Ref;

/// The object of a type that a thread named last. It is kept as long as it is remembered.
pub struct LastNamed<T: 'static> {
    handle: Cell<Handle>,
    epoch: Cell<u32>,
    /// What `reference` refers to; null for nothing.
    object: Cell<*const T>,
    reference: Cell<Option<Ref<T>>>,
}

impl<T> LastNamed<T> {
    /// None.
    pub const fn new() -> Self {
        Self {
            handle: Cell::new(0),
            epoch: Cell::new(0),
            object: Cell::new(core::ptr::null()),
            reference: Cell::new(None),
        }
    }

    /// The object found by this handle when the table was at this epoch. It lives at least until the next
    /// [`Self::set`].
    #[inline(always)]
    pub fn get(&self, handle: u64, epoch: u32) -> Option<&T> {
        if u64::from(self.handle.get()) != handle || self.epoch.get() != epoch {
            return None;
        }
        // SAFETY: `reference` keeps the object; only the running thread itself changes it, by `set` and
        // `clear`.
        unsafe { self.object.get().as_ref() }
    }

    /// What was found last, if anything, with its handle and epoch.
    pub fn last(&self) -> Option<(&T, Handle, u32)> {
        // SAFETY: as in `get`.
        let object = unsafe { self.object.get().as_ref() }?;
        Some((object, self.handle.get(), self.epoch.get()))
    }

    /// Remembers one.
    pub fn set(&self, handle: Handle, epoch: u32, object: Ref<T>) {
        self.handle.set(handle);
        self.epoch.set(epoch);
        self.object.set(&raw const *object);
        // The old object may go only now that the pointer is the new one's.
        drop(self.reference.replace(Some(object)));
    }

    /// Forgets it: the thread ends.
    pub fn clear(&self) {
        self.handle.set(0);
        self.object.set(core::ptr::null());
        drop(self.reference.take());
    }
}
