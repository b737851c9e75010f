//! Places in memory that somebody else may read or write at any time: the processor, a device, a process.
//!
//! A shared reference is enough to load and to store, each once and in full, so that nobody ever needs `&mut`
//! to such memory: any number of references may be there at once, across an entry of a guest too.
#![allow(unsafe_code, reason = "volatile loads and stores of the memory behind a shared reference")]

use core::cell::UnsafeCell;

use vcpu_abi::registers::Segment;

/// A place for a value of which every bit pattern is one.
#[repr(transparent)]
pub struct Volatile<T>(UnsafeCell<T>);

impl<T: zerocopy::FromBytes + Copy> Volatile<T> {
    /// Loads it.
    #[inline(always)]
    pub fn get(&self) -> T {
        // SAFETY: the reference says that the memory is there; every bit pattern is a value.
        unsafe { self.0.get().read_volatile() }
    }

    /// Stores it.
    #[inline(always)]
    pub fn set(&self, value: T) {
        // SAFETY: as in `get`; the cell allows to write through a shared reference.
        unsafe { self.0.get().write_volatile(value) }
    }

    /// Loads it and stores what becomes of it.
    #[inline(always)]
    pub fn update(&self, change: impl FnOnce(T) -> T) {
        self.set(change(self.get()));
    }
}

/// A place for a segment register: two words, so that it takes two loads or stores.
#[repr(C)]
pub struct VolatileSegment {
    low: Volatile<u64>,
    base: Volatile<u64>,
}

impl VolatileSegment {
    /// Loads it.
    #[inline(always)]
    pub fn get(&self) -> Segment {
        zerocopy::transmute!(self.words())
    }

    /// Loads it as its two words.
    #[inline(always)]
    pub fn words(&self) -> [u64; 2] {
        [self.low.get(), self.base.get()]
    }

    /// Stores it.
    #[inline(always)]
    pub fn set(&self, segment: Segment) {
        let [low, base]: [u64; 2] = zerocopy::transmute!(segment);
        self.low.set(low);
        self.base.set(base);
    }
}
