//! What stands for the machine where parts of the kernel run as an ordinary program: tests and fuzz targets.
//!
//! Physical memory is a piece of the program's own, and a frame's number is its address. Nothing else of the
//! machine is there: no ports, no MSRs, no per-CPU area.
#![allow(unsafe_code, reason = "a piece of memory that is reached by its address")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::layout::PAGE;
use crate::memory::frames;

pub mod targets;

/// Held by the one who has physical memory: the frame allocator is one for all.
static ONE: Mutex<()> = Mutex::new(());

/// Physical memory, all of it the frame allocator's, until it is dropped.
pub struct PhysicalMemory {
    base: *mut u8,
    layout: Layout,
    _one: MutexGuard<'static, ()>,
}

impl PhysicalMemory {
    /// So many pages. Waits for those that somebody else has.
    ///
    /// # Panics
    /// If there is no memory for it.
    pub fn new(pages: usize) -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(layout) = Layout::from_size_align(pages * PAGE as usize, PAGE as usize) else {
            panic!("no such size: {pages} pages")
        };
        // SAFETY: callers ask for a page at least.
        let base = unsafe { alloc_zeroed(layout) };
        assert!(!base.is_null(), "no memory");
        let first = base.expose_provenance() as u64;
        frames::start(first, layout.size() as u64, first);
        Self { base, layout, _one: one }
    }

    /// How many frames are free.
    pub fn free_frames() -> u64 {
        frames::budget().1 / PAGE
    }
}

impl Drop for PhysicalMemory {
    fn drop(&mut self) {
        frames::start(0, 0, 0);
        // SAFETY: allocated with this layout, and the allocator gives out no more of it.
        unsafe { dealloc(self.base, self.layout) };
    }
}
