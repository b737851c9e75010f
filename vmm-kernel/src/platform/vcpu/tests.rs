//! A vCPU's first two pages, as the kernel maps them, in memory of the test's own.

use super::*;
use vcpu_abi::exit::ExitRecord;

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
        (page.vmcb_beside(), page)
    }

    /// The record of the last exit.
    pub fn exit(&self) -> ExitRecord {
        // SAFETY: as in `parts`; every bit pattern is a record.
        unsafe { (&raw const (*self.parts().1.address()).exit).read_volatile() }
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

#[test]
fn each_register_has_its_place() {
    let pages = Pages::new();
    let (_, page) = pages.parts();
    (0..16).for_each(|index| page.set_gpr(index, index as u64 + 1));
    assert!((0..16).all(|index| page.gpr(index) == index as u64 + 1));
    page.set_gpr(16, 99);
    assert_eq!(page.gpr(0), 99, "an index is cut to what there is");
    page.set_code_and_stack([0x1_0002, 3], [0x4_0005, 6]);
    let system = page.system();
    assert_eq!((system.cs.selector, system.cs.attributes, system.cs.base), (2, 1, 3));
    assert_eq!((system.ss.selector, system.ss.attributes, system.ss.base), (5, 4, 6));
}

#[test]
fn work_adds_up() {
    let pages = Pages::new();
    let (_, page) = pages.parts();
    page.add_work(1);
    page.add_work(0x100);
    assert_eq!(page.pending_work(), 0x101);
}

#[test]
fn an_xsave_area_is_copied_as_it_is() {
    let pages = Pages::new();
    let (_, page) = pages.parts();
    // A word more than there is place for: the page ends there.
    page.set_xsave((0..=XSAVE_BYTES as u64 / 8).map(|index| index << 32 | 5));
    let words: Vec<_> = page.xsave().collect();
    assert_eq!(words.len(), XSAVE_BYTES / 8);
    assert!(words.iter().zip(0..).all(|(word, index)| *word == index << 32 | 5));
    assert_eq!(page.pending_work(), 0);
}
