use core::mem::offset_of;

use super::*;
use crate::platform::svm::host_pages::VcpuPages;

/// What becomes of an entry with these groups marked: the answer, what is still marked, and RAX.
fn load(groups: Groups, asked: u32) -> (u32, Groups, u64) {
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    page.set_gpr(0, 77);
    page.set_dirty(groups.bits());
    pages.write_run_page(offset_of!(RunPage, window), &asked.to_le_bytes());
    // SAFETY: the pages are the test's own.
    let answer = unsafe { load_marked(page.address().cast_mut()) };
    (answer, Groups::from_bits_retain(page.dirty()), vmcb.save.rax.get())
}

#[test]
fn what_injections_take_is_loaded_and_marked_no_more() {
    let usual = Groups::GENERAL | Groups::INJECTION | Groups::TPR;
    for groups in [Groups::GENERAL, usual] {
        assert_eq!(load(groups, window::NONE), (0, Groups::empty(), 77), "{groups:?}");
    }
    assert_eq!(load(Groups::GENERAL, window::OPEN), (0, Groups::empty(), 77));
}

#[test]
fn all_else_is_left_to_the_long_way_as_it_was() {
    let long = [Groups::SYSTEM, Groups::SEGMENTS, Groups::MSRS, Groups::XCR0, Groups::FPU];
    for groups in long.map(|group| group | Groups::GENERAL) {
        assert_eq!(load(groups, window::NONE), (1, groups, 0), "{groups:?}");
    }
    let groups = Groups::GENERAL | Groups::INJECTION;
    assert_eq!(load(groups, window::OPEN), (1, groups, 0), "both want the one virtual interrupt");
}
