use super::*;
use crate::platform::svm::host_pages::VcpuPages;

fn recorded(code: u64, info1: u64, info2: u64) -> (Exit, vcpu_abi::exit::ExitRecord) {
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    vmcb.control.exit_code.set(code);
    vmcb.control.exit_info1.set(info1);
    vmcb.control.exit_info2.set(info2);
    // SAFETY: the pages are the test's own.
    let next = unsafe { record(page.address()) };
    (next, pages.exit())
}

#[test]
fn each_exit_has_its_reason() {
    for (code, info1, expected) in [
        (code::IOIO, 0x3f8_0010, reason::PORT),
        (code::NPF, 4, reason::MEMORY),
        (code::MSR, 0, reason::MSR_READ),
        (code::MSR, 1, reason::MSR_WRITE),
        (code::CPUID, 0, reason::CPUID),
        (code::HLT, 0, reason::HALT),
        (code::VMMCALL, 0, reason::HYPERCALL),
        (code::XSETBV, 0, reason::XSETBV),
        (code::INVD, 0, reason::CACHE_CONTROL),
        (code::WBINVD, 0, reason::CACHE_CONTROL),
        (code::RDPMC, 0, reason::UNDEFINED),
        (code::INVLPGA, 0, reason::UNDEFINED),
        (code::VMRUN, 0, reason::UNDEFINED),
        (code::VMLOAD, 0, reason::UNDEFINED),
        (code::VMLOAD + 1, 0, reason::UNDEFINED),
        (code::SKINIT, 0, reason::UNDEFINED),
        (code::MONITOR, 0, reason::UNDEFINED),
        (code::MWAIT, 0, reason::UNDEFINED),
        (code::RDPRU, 0, reason::UNDEFINED),
        (code::SHUTDOWN, 0, reason::SHUTDOWN),
        (code::VINTR, 0, reason::INTERRUPT_WINDOW),
        (code::IRET, 0, reason::NMI_RETURN),
        (code::CR0_WRITE, 0, reason::REGISTER_WRITE),
        (code::CR4_WRITE, 0, reason::REGISTER_WRITE),
        (code::CR8_WRITE, 0, reason::REGISTER_WRITE),
        (code::DB, 0, reason::EXCEPTION),
        (code::AC, 0, reason::EXCEPTION),
        (code::EXCEPTION, 0, reason::EXCEPTION),
        (code::PF, 2, reason::EXCEPTION),
        (code::LAST_EXCEPTION, 0, reason::EXCEPTION),
        (0x3ff, 0, reason::UNKNOWN),
    ] {
        let (next, record) = recorded(code, info1, 0);
        assert_eq!((next, record.reason), (Exit::Vmm, expected), "{code:#x}");
    }
}

/// Where the reason does not tell it, the platform's number is there.
#[test]
fn a_rare_exit_has_its_code() {
    for code in [code::RDPMC, code::CR4_WRITE, code::SHUTDOWN, code::AC, 0x3ff] {
        assert_eq!(recorded(code, 0, 0).1.raw_code, code);
    }
}

/// What the VMM is to change is stored as a whole.
#[test]
fn all_of_system_is_there_where_the_reason_says_so() {
    for (code, whole) in [(code::CR0_WRITE, true), (code::DB, true), (code::VMMCALL, false)] {
        let groups = Groups::from_bits_retain(recorded(code, 0, 0).1.groups);
        assert!(groups.contains(Groups::GENERAL | Groups::DECODING));
        assert_eq!(groups.contains(Groups::SYSTEM), whole, "{code:#x}");
    }
}

/// Vector and error code; and of a page fault, which leaves CR2 alone, the address.
#[test]
fn an_exception_says_which_and_where() {
    for (code, info1, info2, qualification, address) in [
        (code::EXCEPTION + 6, 0, 0x77, 6, None),
        (code::EXCEPTION + 13, 0x58, 0x77, 13 | 0x58 << 32, None),
        (code::PF, 7, 0x1234_5678_9abc, 14 | 7 << 32, Some(0x1234_5678_9abc)),
    ] {
        let (_, record) = recorded(code, info1, info2);
        assert_eq!(record.qualification, qualification, "{code:#x}");
        let is_valid = ExitFlags::from_bits_retain(record.flags).contains(ExitFlags::GVA);
        assert_eq!(is_valid.then_some(record.gva), address, "{code:#x}");
    }
}

/// What the entry code gets: an exit that is not the VMM's, or what it answers.
#[test]
fn the_answer_is_in_the_upper_half() {
    let answer = |code, int_info| {
        let pages = VcpuPages::new();
        let (vmcb, page) = pages.parts();
        vmcb.control.exit_code.set(code);
        vmcb.control.exit_int_info.set(int_info);
        // SAFETY: the pages are the test's own.
        unsafe { record_for_entry(page.address()) }
    };
    assert_eq!(answer(code::INTR, 0), Exit::HostInterrupt as u64);
    assert_eq!(answer(code::VMMCALL, 0), u64::from(reason::HYPERCALL) << 32);
    let notable = reason::HYPERCALL | vcpu_abi::exit::NOTABLE;
    assert_eq!(answer(code::VMMCALL, 0x8000_0202), u64::from(notable) << 32);
}

#[test]
fn the_kernels_own_exits_are_not_the_vmms() {
    for (code, expected) in [
        (code::INTR, Exit::HostInterrupt),
        (code::NMI, Exit::HostNmi),
        (code::MC, Exit::MachineCheck),
        (code::INVALID, Exit::Refused),
        (0xffff_ffff, Exit::Refused),
    ] {
        assert_eq!(recorded(code, 0, 0).0, expected, "{code:#x}");
        assert_eq!(Exit::from_code(expected as u32), expected);
    }
    assert_eq!(Exit::from_code(77), Exit::Refused);
}

#[test]
fn a_port_exit_says_which_and_where_it_goes_on() {
    let (_, record) = recorded(code::IOIO, 0x03f8_0010, 0x1234);
    assert_eq!((record.qualification, record.next_rip), (0x03f8_0010, 0x1234));
    assert!(ExitFlags::from_bits_retain(record.flags).contains(ExitFlags::NEXT_RIP));
    assert_eq!(record.groups, Groups::GENERAL.bits(), "nothing has to be decoded");
    let (_, string) = recorded(code::IOIO, 0x03f8_0014, 0x1234);
    assert_eq!(string.groups, (Groups::GENERAL | Groups::DECODING).bits());
}

#[test]
fn a_memory_exit_says_where_and_how() {
    let (_, record) = recorded(code::NPF, 1 << 1 | 1 << 32, 0xfee0_0080);
    assert_eq!(record.gpa, 0xfee0_0080);
    assert!(Access::from_bits_retain(record.access).contains(Access::WRITE));
    let (_, read) = recorded(code::NPF, 1 << 32, 0xfee0_0080);
    assert!(!Access::from_bits_retain(read.access).contains(Access::WRITE));
}

#[test]
fn an_interrupted_event_is_in_the_record() {
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    vmcb.control.exit_code.set(code::NPF);
    vmcb.control.exit_int_info.set(0x8000_0202);
    // SAFETY: the pages are the test's own.
    unsafe { record(page.address()) };
    let exit = pages.exit();
    assert!(ExitFlags::from_bits_retain(exit.flags).contains(ExitFlags::EVENT));
    assert_eq!(
        (exit.interrupted_event.kind, exit.interrupted_event.vector),
        (vcpu_abi::registers::event_kind::NMI, 2)
    );
}

#[test]
fn each_kind_of_access_is_told_by_itself() {
    for (info, expected) in [
        (0, Access::empty()),
        (1, Access::PROTECTION),
        (1 << 1, Access::WRITE),
        (1 << 4, Access::EXECUTE),
        (1 << 33, Access::PAGE_WALK),
        // The walk of the guest's tables is told by bit 33 alone, and no other bit of it is an access.
        (1 << 32, Access::empty()),
        (!(1 | 1 << 1 | 1 << 4 | 1 << 33), Access::empty()),
        (u64::MAX, Access::PROTECTION | Access::WRITE | Access::EXECUTE | Access::PAGE_WALK),
    ] {
        assert_eq!(recorded(code::NPF, info, 0).1.access, expected.bits(), "{info:#x}");
    }
}

#[test]
fn an_interrupt_shadow_is_in_the_record() {
    for (shadow, expected) in [(0, false), (1, true), (2, false)] {
        let pages = VcpuPages::new();
        let (vmcb, page) = pages.parts();
        vmcb.control.exit_code.set(code::CPUID);
        vmcb.control.interrupt_shadow.set(shadow);
        // SAFETY: the pages are the test's own.
        unsafe { record(page.address()) };
        let flags = ExitFlags::from_bits_retain(pages.exit().flags);
        assert_eq!(flags.contains(ExitFlags::INTERRUPT_SHADOW), expected, "{shadow}");
    }
}
