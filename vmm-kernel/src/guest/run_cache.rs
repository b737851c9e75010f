//! The vCPU a thread ran last, found by its handle: it saves the look-up at the next run.
#![allow(unsafe_code, reason = "what the running thread alone touches, in the room that each thread has")]

use core::cell::{Cell, RefCell};

use vcpu_abi::operation::Handle;

use super::vcpu::Vcpu;
use crate::object::pool::Ref;
use crate::task::thread::Thread;

/// The vCPU a thread ran last.
pub struct RunCache {
    handle: Cell<Handle>,
    epoch: Cell<u32>,
    /// What `reference` refers to; null for nothing.
    vcpu: Cell<*const Vcpu>,
    reference: RefCell<Option<Ref<Vcpu>>>,
}

/// That of a thread: the running one.
#[inline(always)]
pub fn of(thread: &Thread) -> &RunCache {
    // SAFETY: each thread is made with one, by `life::add_thread`.
    unsafe { thread.above.get() }
}

impl RunCache {
    /// None.
    pub const fn new() -> Self {
        Self {
            handle: Cell::new(0),
            epoch: Cell::new(0),
            vcpu: Cell::new(core::ptr::null()),
            reference: RefCell::new(None),
        }
    }

    /// The vCPU found by this handle when the table was at this epoch. It lives at least until the next
    /// [`Self::set`].
    #[inline]
    pub fn get(&self, handle: Handle, epoch: u32) -> Option<&Vcpu> {
        if self.handle.get() != handle || self.epoch.get() != epoch {
            return None;
        }
        // SAFETY: `reference` keeps the object; only the running thread itself changes it, by `set` and
        // `clear`.
        unsafe { self.vcpu.get().as_ref() }
    }

    /// What was found last, if anything, with its handle and epoch.
    pub fn last(&self) -> Option<(&Vcpu, Handle, u32)> {
        // SAFETY: as in `get`.
        let vcpu = unsafe { self.vcpu.get().as_ref() }?;
        Some((vcpu, self.handle.get(), self.epoch.get()))
    }

    /// Remembers one.
    pub fn set(&self, handle: Handle, epoch: u32, vcpu: Ref<Vcpu>) {
        self.handle.set(handle);
        self.epoch.set(epoch);
        self.vcpu.set(&raw const *vcpu);
        drop(self.reference.replace(Some(vcpu)));
    }

    /// Forgets it: the thread ends.
    pub fn clear(&self) {
        self.handle.set(0);
        self.vcpu.set(core::ptr::null());
        drop(self.reference.replace(None));
    }
}
