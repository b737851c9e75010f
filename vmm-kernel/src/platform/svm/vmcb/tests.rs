//! Where a vCPU's VMCB lies.

use crate::platform::svm::host_pages::VcpuPages;

#[test]
fn the_block_is_the_page_before() {
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    assert_eq!(std::ptr::from_ref(vmcb).addr() + 4096, page.address().addr());
    vmcb.save.pat.set(u64::MAX);
    vmcb.control.clean.set(u64::MAX);
    assert_eq!((page.dirty(), page.rip(), pages.exit().reason), (0, 0, 0));
}
