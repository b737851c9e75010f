//! A vCPU's first two pages, as the kernel maps them, in memory of the test's own.

use super::*;
use crate::run_page::SharedRunPage;
use vcpu_abi::exit::ExitRecord;
use vcpu_abi::registers::EventInjection;

#[repr(C, align(4096))]
struct Place([u64; 1024]);

/// VMCB and run page, zeroed.
pub struct Pages(*mut Place);

impl Pages {
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

    /// The record of the last exit.
    pub fn exit(&self) -> ExitRecord {
        // SAFETY: as in `parts`; every bit pattern is a record.
        unsafe { (&raw const (*self.parts().1.address()).exit).read_volatile() }
    }

    /// An event, as a VMM asks for it.
    pub fn set_injection(&self, event: EventInjection) {
        // SAFETY: as in `parts`.
        unsafe { (&raw mut (*self.parts().1.address().cast_mut()).injection).write_volatile(event) };
    }

    /// A task priority, as a VMM asks for it.
    pub fn set_cr8(&self, cr8: u32) {
        // SAFETY: as in `parts`.
        unsafe { (&raw mut (*self.parts().1.address().cast_mut()).cr8).write_volatile(cr8) };
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: made by `new`.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

#[test]
fn the_block_is_the_page_before() {
    let pages = Pages::new();
    let (vmcb, page) = pages.parts();
    assert_eq!(std::ptr::from_ref(vmcb).addr() + 4096, page.address().addr());
    vmcb.save.pat.set(u64::MAX);
    vmcb.control.clean.set(u64::MAX);
    assert_eq!((page.dirty(), page.rip(), pages.exit().reason), (0, 0, 0));
}
