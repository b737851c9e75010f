//! The heap: a buddy allocator that asks the kernel for more when it runs dry.
#![allow(unsafe_code, reason = "a global allocator")]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicU64, Ordering};

use buddy_system_allocator::Heap;
use vcpu_abi::operation::{HANDLE_SELF, ProcessAllocate};

use crate::sync::Mutex;
use crate::syscall::call;

/// Where a process's heap is.
const HEAP_START: u64 = 0x1000_0000;
/// Where it ends at the latest.
const HEAP_END: u64 = 0x4000_0000;
/// What is asked for at least.
const STEP_BYTES: u64 = 256 * 1024;
/// The most that one call to the kernel allocates.
const CALL_BYTES: u64 = 4 * 1024 * 1024;

static NEXT: AtomicU64 = AtomicU64::new(HEAP_START);

#[cfg_attr(target_os = "none", global_allocator)]
static HEAP: ProcessHeap = ProcessHeap(Mutex::new(Heap::new()));

/// The heap of this process, for threads of any priority.
struct ProcessHeap(Mutex<Heap<32>>);

// SAFETY: the allocator gives what it has been given alone, each part of it to one owner at a time; the lock
// keeps its lists whole, and nothing in it unwinds.
unsafe impl GlobalAlloc for ProcessHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut heap = self.0.lock();
        let answer = heap.alloc(layout).or_else(|()| {
            grow(&mut heap, &layout);
            heap.alloc(layout)
        });
        answer.map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if let Some(at) = NonNull::new(at) {
            // SAFETY: the caller gives back what `alloc` returned, with its layout.
            unsafe { self.0.lock().dealloc(at, layout) };
        }
    }
}

/// Gives the allocator memory that the process has from elsewhere than its budget.
///
/// # Safety
/// The memory is mapped for writing for the life of the process, aligned to a page, and nobody else reads or
/// writes it.
pub unsafe fn give(start: u64, bytes: u64) {
    // SAFETY: the caller's promise.
    unsafe { HEAP.0.lock().add_to_heap(start as usize, start.saturating_add(bytes) as usize) };
}

/// Memory of the process's own, page-aligned, outside of the allocator: `None` when the budget is used up.
pub fn pages(bytes: u64) -> Option<u64> {
    let bytes = bytes.checked_next_multiple_of(4096)?;
    map(reserve(bytes)?, bytes)
}

/// As [`pages`], with a page below that stays unmapped.
pub fn guarded_pages(bytes: u64) -> Option<u64> {
    let bytes = bytes.checked_next_multiple_of(4096)?;
    // In one step: what another thread took between two would lie between the guard and what it guards.
    let start = reserve(bytes.checked_add(4096)?)? + 4096;
    map(start, bytes)
}

/// Address space that nothing is mapped in, for what is mapped there later.
pub fn reserve(bytes: u64) -> Option<u64> {
    let bytes = bytes.checked_next_multiple_of(4096)?;
    NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
        n.checked_add(bytes).filter(|e| *e <= HEAP_END)
    })
    .ok()
}

/// Maps memory of the process's own at addresses that were reserved, which are not given back after a
/// failure: a part of them may be mapped.
fn map(start: u64, bytes: u64) -> Option<u64> {
    let mut done = 0;
    while done < bytes {
        let step = (bytes - done).min(CALL_BYTES);
        call(HANDLE_SELF, ProcessAllocate { address: start + done, bytes: step }).ok()?;
        done += step;
    }
    Some(start)
}

fn grow(heap: &mut Heap<32>, layout: &Layout) {
    // Twice the size: a buddy allocator needs a block of the next power of two, aligned.
    let want =
        (layout.size().max(layout.align()) as u64).next_power_of_two().saturating_mul(2).max(STEP_BYTES);
    if let Some(start) = pages(want) {
        // SAFETY: the kernel has just mapped that range for this process, and nobody else uses it.
        unsafe {
            heap.add_to_heap(start as usize, (start + want) as usize);
        }
    }
}
