use super::*;
use crate::platform::svm::host_pages::VcpuPages;

#[test]
fn a_flush_is_asked_for_once_and_of_the_asid_only() {
    let pages = VcpuPages::new();
    let (vmcb, _) = pages.parts();
    let field = &vmcb.control.asid_and_tlb_control;
    field.set(7);
    ask_flush(vmcb);
    assert_ne!(field.get() & tlb_control::ALL, 0);
    assert_eq!(field.get() & !tlb_control::ALL, 7);
    is_flushed(vmcb);
    assert_eq!(field.get(), 7, "the entry after the flush asks for none, and is the same guest's");
}
