//! The accessors, on a page of the test's own.

use super::*;
use crate::platform::svm::host_pages::VcpuPages;

#[test]
fn each_register_has_its_place() {
    let pages = VcpuPages::new();
    let (_, page) = pages.parts();
    (0..16).for_each(|index| page.set_gpr(index, index as u64 + 1));
    assert!((0..16).all(|index| page.gpr(index) == index as u64 + 1));
    page.set_gpr(16, 99);
    assert_eq!(page.gpr(0), 99, "an index is cut to what there is");
    page.set_code([0x1_0002, 3]);
    let system = page.system();
    assert_eq!((system.cs.selector, system.cs.attributes, system.cs.base), (2, 1, 3));
}

#[test]
fn work_adds_up() {
    let pages = VcpuPages::new();
    let (_, page) = pages.parts();
    page.add_work(1);
    page.add_work(0x100);
    assert_eq!(page.pending_work(), 0x101);
}

#[test]
fn an_xsave_area_is_copied_as_it_is() {
    let pages = VcpuPages::new();
    let (_, page) = pages.parts();
    // A word more than there is place for: the page ends there.
    page.set_xsave((0..=XSAVE_BYTES as u64 / 8).map(|index| index << 32 | 5));
    let words: Vec<_> = page.xsave().collect();
    assert_eq!(words.len(), XSAVE_BYTES / 8);
    assert!(words.iter().zip(0..).all(|(word, index)| *word == index << 32 | 5));
    assert_eq!(page.pending_work(), 0);
}
