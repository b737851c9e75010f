use super::super::exit::{Exit, record};
use super::super::vmcb::{Vmcb, exit_code as code, vintr};
use crate::platform::svm::host_pages::VcpuPages;
use crate::run_page::SharedRunPage;

unsafe extern "C" {
    fn svm_short_record(page: *const vcpu_abi::run_page::RunPage) -> i64;
    fn svm_short_record_guarded(page: *const vcpu_abi::run_page::RunPage) -> i64;
}

/// What is different about a vCPU.
type Change = fn(&Vmcb, SharedRunPage);

/// A VMCB in which no two words are alike, with this exit; nothing is on its way to the guest.
fn exited(pages: &VcpuPages, exit: (u64, u64), change: Change) {
    let (vmcb, page) = pages.parts();
    // SAFETY: a block is as many words, all of them volatile places.
    let words = unsafe { &*core::ptr::from_ref(vmcb).cast::<[crate::volatile::Volatile<u64>; 512]>() };
    for (index, word) in (1..).zip(words) {
        word.set((0x0101_0101_0101_0101 * (index % 251)) ^ (index << 24));
    }
    vmcb.control.exit_code.set(exit.0);
    vmcb.control.exit_info1.set(exit.1);
    vmcb.control.exit_int_info.set(0x202);
    vmcb.control.vintr.set(vintr::MASKING | 5);
    vmcb.control.interrupt_shadow.set(0);
    vmcb.save.cpl.set(3);
    page.set_cr8(5);
    change(vmcb, page);
}

/// What becomes of the run page, and the answer.
fn by(exit: (u64, u64), change: Change, fill: impl FnOnce(&VcpuPages) -> i64) -> (i64, Vec<u8>) {
    let pages = VcpuPages::new();
    exited(&pages, exit, change);
    let answer = fill(&pages);
    (answer, pages.run_page_bytes())
}

fn whole(pages: &VcpuPages) -> i64 {
    let page = pages.parts().1;
    // SAFETY: the pages are the test's own.
    match unsafe { record(page.address()) } {
        Exit::Vmm => page.exit_summary().into(),
        _ => -1,
    }
}

fn short(pages: &VcpuPages) -> i64 {
    // SAFETY: the pages are the test's own.
    unsafe { svm_short_record(pages.parts().1.address()) }
}

fn guarded(pages: &VcpuPages) -> i64 {
    // SAFETY: the pages are the test's own.
    unsafe { svm_short_record_guarded(pages.parts().1.address()) }
}

const NO_CHANGE: Change = |_, _| {};

/// The exits that the entry code records, with all that may be about them.
const SHORT: [(u64, u64); 15] = [
    (code::IOIO, 0x03f8_0010),
    (code::IOIO, 0xffff_0041),
    (code::MSR, 0),
    (code::MSR, 1),
    (code::MSR, !0),
    (code::CPUID, 0),
    (code::HLT, 0),
    (code::NPF, 0),
    (code::NPF, 1 << 0),
    (code::NPF, 1 << 1 | 1 << 32),
    (code::NPF, 1 << 2),
    (code::NPF, 1 << 4),
    (code::NPF, 1 << 33),
    (code::NPF, !(1 << 33)),
    (code::NPF, !0),
];

#[test]
#[cfg_attr(miri, ignore = "assembly")]
fn the_entry_code_records_the_same() {
    let changes: [Change; 7] = [
        NO_CHANGE,
        |vmcb, _| vmcb.control.interrupt_shadow.set(1),
        |vmcb, _| vmcb.control.interrupt_shadow.set(!1),
        |_, page| page.set_cr8(4),
        |vmcb, _| vmcb.control.vintr.set(vintr::MASKING | 0xf5),
        |vmcb, _| vmcb.control.vintr.set(!vintr::IRQ),
        |vmcb, _| vmcb.save.cpl.set(0),
    ];
    for exit in SHORT {
        for (index, change) in changes.into_iter().enumerate() {
            let expected = by(exit, change, whole);
            assert_ne!(expected.0, -1);
            assert!(by(exit, change, short) == expected, "{exit:x?}, {index}");
            assert!(by(exit, change, guarded) == expected, "{exit:x?}, {index}, guarded");
        }
    }
}

/// A changed task priority is in the flags, and in the answer; the same one is in neither.
#[test]
#[cfg_attr(miri, ignore = "assembly")]
fn another_task_priority_is_said() {
    use vcpu_abi::exit::{ExitFlags, NOTABLE, reason};
    for (before, is_said) in [(5, false), (4, true), (0, true)] {
        let pages = VcpuPages::new();
        exited(&pages, (code::CPUID, 0), NO_CHANGE);
        pages.parts().1.set_cr8(before);
        let notable = if is_said { NOTABLE } else { 0 };
        assert_eq!(short(&pages), i64::from(reason::CPUID | notable));
        let exit = pages.exit();
        let flags = ExitFlags::from_bits_retain(exit.flags);
        assert_eq!((exit.cr8, flags.contains(ExitFlags::TASK_PRIORITY)), (5, is_said));
    }
}

/// What the entry code does not record itself is recorded as if it had not been there.
#[test]
#[cfg_attr(miri, ignore = "assembly")]
fn the_rest_is_left_to_the_whole_record() {
    let no_change = NO_CHANGE;
    let cases: [((u64, u64), Change); 12] = [
        ((code::IOIO, 0x03f8_0014), no_change),
        ((code::INTR, 0), no_change),
        ((code::NMI, 0), no_change),
        ((code::MC, 0), no_change),
        ((code::VINTR, 0), no_change),
        ((code::IRET, 0), no_change),
        ((code::DB, 0), no_change),
        ((code::SHUTDOWN, 0), no_change),
        ((code::INVALID, 0), no_change),
        ((code::MSR | 1 << 32, 0), no_change),
        ((code::MSR, 0), |vmcb, _| vmcb.control.exit_int_info.set(0x8000_0202)),
        ((code::CPUID, 0), |vmcb, _| vmcb.control.vintr.update(|bits| bits | vintr::IRQ)),
    ];
    for (exit, change) in cases {
        for fill in [short, guarded] {
            assert_eq!(by(exit, change, fill).0, -1, "{exit:x?}");
            let both = |pages: &VcpuPages| {
                fill(pages);
                whole(pages)
            };
            let (expected, left) = (by(exit, change, whole), by(exit, change, both));
            // An exit that is not the VMM's has no record: what is there means nothing.
            assert!(expected.0 == -1 && left.0 == -1 || expected == left, "{exit:x?}");
        }
    }
}

/// A refused VMRUN spoils RIP and RFLAGS of the save area: the run page keeps those that it had.
#[test]
#[cfg_attr(miri, ignore = "assembly")]
fn nothing_is_stored_of_another_exit() {
    for exit in [(code::INVALID, 0), (0xffff_ffff, 0), (code::INTR, 0), (code::IOIO, 0x03f8_0014), (!1, !0)] {
        let (_, before) = by(exit, NO_CHANGE, |_| -1);
        assert_eq!(by(exit, NO_CHANGE, short), (-1, before.clone()), "{exit:x?}");
        assert_eq!(by(exit, NO_CHANGE, guarded), (-1, before), "{exit:x?}, guarded");
    }
}
