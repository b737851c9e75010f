//! Pages that no kernel knows of, for tests.

use alloc::boxed::Box;

use super::{PAGE_BYTES, VcpuPages};

#[repr(C, align(4096))]
struct TwoPages([u8; 2 * PAGE_BYTES]);

/// Pages that hold zeros, as the kernel's do at first. They are never freed.
pub fn pages() -> VcpuPages {
    let memory = Box::leak(Box::new(TwoPages([0; 2 * PAGE_BYTES])));
    // SAFETY: the memory is leaked, as large as both pages, and nobody else has it.
    unsafe { VcpuPages::new(core::ptr::from_mut(memory).expose_provenance() as u64) }.unwrap()
}
