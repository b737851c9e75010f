//! A vCPU that no kernel knows of, for tests.
#![allow(unsafe_code, reason = "its pages are memory of the test's own")]

use std::boxed::Box;

use super::{PAGE_BYTES, Vcpu, VcpuPages};

#[repr(C, align(4096))]
struct TwoPages([u8; 2 * PAGE_BYTES]);

impl Vcpu {
    /// One whose pages hold zeros, as the kernel's do at first. They are never freed.
    pub fn fake() -> Self {
        let memory = Box::leak(Box::new(TwoPages([0; 2 * PAGE_BYTES])));
        // SAFETY: the memory is leaked, as large as both pages, and nobody else has it.
        let page = unsafe { VcpuPages::new(core::ptr::from_mut(memory).expose_provenance() as u64) };
        Self { handle: 0, page: page.unwrap() }
    }
}
