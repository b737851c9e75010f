//! The kernel has no heap. A dependency (`object`) links `alloc` without using it here, so the language asks
//! for an allocator: this one has nothing to give.
#![allow(unsafe_code, reason = "the trait of global allocators is unsafe")]

use core::alloc::{GlobalAlloc, Layout};

struct NoHeap;

// SAFETY: it never hands out memory, which the trait allows (null says so).
unsafe impl GlobalAlloc for NoHeap {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static HEAP: NoHeap = NoHeap;
