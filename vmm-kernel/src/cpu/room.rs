//! Room in a processor's area for the state of a module above, which alone knows the state's type.
#![allow(unsafe_code, reason = "memory that gets its type from its user")]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

/// So many words, which nobody has filled yet.
#[repr(C)]
pub struct Room<const WORDS: usize>(UnsafeCell<[MaybeUninit<u64>; WORDS]>);

impl<const WORDS: usize> Room<WORDS> {
    /// Empty room.
    pub const fn new() -> Self {
        Self(UnsafeCell::new([MaybeUninit::uninit(); WORDS]))
    }

    /// Puts the state there, for as long as the room exists.
    ///
    /// # Safety
    /// Once, before anybody gets it.
    pub unsafe fn fill<T>(&self, state: T) {
        const { assert!(size_of::<T>() <= WORDS * 8 && align_of::<T>() <= 8) };
        // SAFETY: it fits, as is asserted, and nobody else looks, by the caller's promise.
        unsafe { self.0.get().cast::<T>().write(state) };
    }

    /// The state.
    ///
    /// # Safety
    /// The room was filled with a `T`, which other processors may see if they may see the room.
    #[inline(always)]
    pub unsafe fn get<T>(&self) -> &T {
        const { assert!(size_of::<T>() <= WORDS * 8 && align_of::<T>() <= 8) };
        // SAFETY: the caller's promise; from then on there are shared references only.
        unsafe { &*self.0.get().cast::<T>() }
    }
}

#[cfg(test)]
mod tests;
