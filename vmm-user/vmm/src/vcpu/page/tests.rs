use super::*;
use runtime::abi::operation::{Call, VcpuKick};

fn operation(handle: u32) -> Operation {
    VcpuKick { work: 1, reserved: 0 }.on(handle)
}

#[test]
fn a_batch_has_an_end() {
    let mut pages = fake::pages();
    for index in 0..BATCH_MAX as u32 {
        assert!(pages.set_operation(index, &operation(index)));
    }
    assert!(!pages.set_operation(BATCH_MAX as u32, &operation(1000)));
    let handles = |operations: Vec<Operation>| operations.iter().map(|o| o.handle).collect::<Vec<_>>();
    assert_eq!(handles(pages.operations(3)), [0, 1, 2]);
    assert_eq!(handles(pages.operations(u32::MAX)), Vec::from_iter(0..BATCH_MAX as u32));
}

#[test]
fn marks_add_up() {
    let mut pages = fake::pages();
    pages.mark(Groups::GENERAL);
    pages.mark(Groups::TPR);
    assert_eq!(pages.dirty(), (Groups::GENERAL | Groups::TPR).bits());
}

#[test]
fn what_is_changed_is_marked() {
    let mut pages = fake::pages();
    pages.set_gpr(3, 5);
    assert_eq!(pages.dirty(), 0);
    pages.mark(Groups::TPR);
    pages.change_gpr(3, 6);
    assert_eq!((pages.gpr(3), pages.dirty()), (6, (Groups::GENERAL | Groups::TPR).bits()));
    pages.set_dirty(0);
    pages.change_rip(7);
    assert_eq!((pages.rip(), pages.dirty()), (7, Groups::GENERAL.bits()));
    pages.set_abcd([1, 2, 3, 4]);
    assert_eq!([0, 3, 1, 2].map(|index| pages.gpr(index)), [1, 2, 3, 4]);
}

#[test]
fn work_is_taken_once() {
    let mut pages = fake::pages();
    // SAFETY: the atomic that the kernel would write.
    unsafe { (*pages.0.as_ptr()).pending_work.store(0x101, Ordering::SeqCst) };
    assert_eq!((pages.take_work(), pages.take_work()), (0x101, 0));
}

/// In an XSAVE area whose SSE state is the initial one, what lies there is no register's value.
#[test]
fn the_first_xmm_register_that_is_written_makes_the_others_zero() {
    let mut pages = fake::pages();
    // SAFETY: within the area.
    unsafe { pages.xsave::<u128>(xsave::XMM + 16 * 3).write_volatile(7) };
    assert_eq!(pages.xmm(3), 0);
    pages.set_xmm(5, 9);
    assert_eq!((pages.xmm(3), pages.xmm(5)), (0, 9));
    pages.set_xmm(3, 1);
    assert_eq!((pages.xmm(3), pages.xmm(5)), (1, 9));
}

#[test]
fn nothing_is_at_zero() {
    // SAFETY: there are no pages to be had at 0.
    assert!(unsafe { VcpuPages::new(0) }.is_none());
}
