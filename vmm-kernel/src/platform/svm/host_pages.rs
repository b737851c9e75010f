//! A vCPU's first two pages, as the kernel maps them, in memory of the program's own: for tests and fuzz
//! targets on the host.
#![allow(unsafe_code, reason = "pages that lie side by side and are shared, as in the kernel")]

use vcpu_abi::exit::ExitRecord;
use vcpu_abi::registers::EventInjection;
use vcpu_abi::run_page::RunPage;

use super::vmcb::Vmcb;
use crate::layout::PAGE;
use crate::run_page::SharedRunPage;

#[repr(C, align(4096))]
struct Place([u64; 1024]);

/// VMCB and run page, zeroed.
pub struct VcpuPages(*mut Place);

impl VcpuPages {
    /// New ones.
    pub fn new() -> Self {
        Self(Box::into_raw(Box::new(Place([0; 1024]))))
    }

    /// Both.
    pub fn parts(&self) -> (&Vmcb, SharedRunPage) {
        // SAFETY: the run page is the second of the two, which are there as long as `self`.
        let page = unsafe { SharedRunPage::new(self.0.byte_add(PAGE as usize).cast()) };
        // SAFETY: as above.
        (unsafe { Vmcb::beside(page) }, page)
    }

    fn run_page(&self) -> *mut RunPage {
        self.parts().1.address().cast_mut()
    }

    /// The record of the last exit.
    pub fn exit(&self) -> ExitRecord {
        // SAFETY: as in `parts`; every bit pattern is a record.
        unsafe { (&raw const (*self.run_page()).exit).read_volatile() }
    }

    /// All of the run page.
    pub fn run_page_bytes(&self) -> Vec<u8> {
        let page = self.run_page().cast::<u8>();
        // SAFETY: as in `parts`; within the page.
        (0..PAGE as usize).map(|at| unsafe { page.add(at).read_volatile() }).collect()
    }

    /// An event, as a VMM asks for it.
    pub fn set_injection(&self, event: EventInjection) {
        // SAFETY: as in `parts`.
        unsafe { (&raw mut (*self.run_page()).injection).write_volatile(event) };
    }

    /// A task priority, as a VMM asks for it.
    pub fn set_cr8(&self, cr8: u32) {
        // SAFETY: as in `parts`.
        unsafe { (&raw mut (*self.run_page()).cr8).write_volatile(cr8) };
    }

    /// Bytes of the run page from `offset` on, as many as have room.
    pub fn write_run_page(&self, offset: usize, bytes: &[u8]) {
        for (at, byte) in (offset..PAGE as usize).zip(bytes) {
            // SAFETY: as in `parts`; within the page.
            unsafe { self.run_page().cast::<u8>().add(at).write_volatile(*byte) };
        }
    }
}

impl Drop for VcpuPages {
    fn drop(&mut self) {
        // SAFETY: made by `new`.
        drop(unsafe { Box::from_raw(self.0) });
    }
}
