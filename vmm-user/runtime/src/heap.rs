//! The heap: a buddy allocator that asks the kernel for more when it runs dry.

use core::alloc::Layout;
use core::sync::atomic::{AtomicU64, Ordering};

use buddy_system_allocator::{Heap, LockedHeapWithRescue};
use vcpu_abi::operation::{HANDLE_SELF, ProcessAllocate};

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
#[cfg_attr(not(target_os = "none"), expect(dead_code, reason = "the host has a heap of its own"))]
static HEAP: LockedHeapWithRescue<32> = LockedHeapWithRescue::new(grow);

/// Memory of the process's own, page-aligned, outside of the allocator: `None` when the budget is used up.
pub fn pages(bytes: u64) -> Option<u64> {
    let bytes = bytes.checked_next_multiple_of(4096)?;
    let start = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
        next.checked_add(bytes).filter(|end| *end <= HEAP_END)
    });
    // After a failure below, these addresses are not given back: a part of them may be mapped.
    let start = start.ok()?;
    let mut done = 0;
    while done < bytes {
        let step = (bytes - done).min(CALL_BYTES);
        call(HANDLE_SELF, ProcessAllocate { address: start + done, bytes: step }).ok()?;
        done += step;
    }
    Some(start)
}

/// Address space that nothing is mapped in: for what is mapped there later, or as a guard.
pub fn reserve(bytes: u64) -> Option<u64> {
    let bytes = bytes.checked_next_multiple_of(4096)?;
    NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
        n.checked_add(bytes).filter(|e| *e <= HEAP_END)
    })
    .ok()
}

fn grow(heap: &mut Heap<32>, layout: &Layout) {
    // Twice the size: a buddy allocator needs a block of the next power of two, aligned.
    let want =
        (layout.size().max(layout.align()) as u64).next_power_of_two().saturating_mul(2).max(STEP_BYTES);
    if let Some(start) = pages(want) {
        #[allow(unsafe_code, reason = "gives the allocator fresh pages")]
        // SAFETY: the kernel has just mapped that range for this process, and nobody else uses it.
        unsafe {
            heap.add_to_heap(start as usize, (start + want) as usize);
        }
    }
}
