use plinth_snp_abi::vmsa::VintrCtrl;
use vcpu_abi::exit::NOTABLE;
use vcpu_abi::registers::event_kind;

use super::*;
use crate::platform::snp::testing_vcpu::Pages;

/// A VMSA that has exited so, and its record.
fn exited(code: u64, info_1: u64, info_2: u64, nrip: u64) -> (Pages, Exit) {
    let pages = Pages::new();
    let (vmsa, page) = pages.parts();
    state::reset(vmsa, 1 << 47);
    vmsa.set_rip(0x1001);
    vmsa.set_exit_code(code);
    vmsa.set_exit_info_1(info_1);
    vmsa.set_exit_info_2(info_2);
    vmsa.set_nrip(nrip);
    let exit = record(vmsa, page);
    (pages, exit)
}

#[test]
fn exits_that_the_host_has_for_itself() {
    for (exit_code, expected) in [
        (code::INTR, Exit::HostInterrupt),
        (code::NMI, Exit::HostNmi),
        (code::VINTR, Exit::HostInterrupt),
        (code::PAUSE, Exit::HostInterrupt),
        (code::VMGEXIT, Exit::HostInterrupt),
        (code::MACHINE_CHECK, Exit::MachineCheck),
        (UNTOUCHED, Exit::HostInterrupt),
        (code::CPUID, Exit::Vmm),
        (code::SHUTDOWN, Exit::Vmm),
    ] {
        assert_eq!(exited(exit_code, 0, 0, 0).1, expected, "{exit_code:#x}");
    }
}

#[test]
fn reasons_of_the_vmms_exits() {
    for (exit_code, info_1, expected) in [
        (code::CPUID, 0, reason::CPUID),
        (code::MSR, 0, reason::MSR_READ),
        (code::MSR, 1, reason::MSR_WRITE),
        (code::IOIO, 0x3f8_0010, reason::PORT),
        (code::NPF, 0, reason::MEMORY),
        (code::PAGE_NOT_VALIDATED, 0, reason::MEMORY),
        (code::HLT, 0, reason::HALT),
        (code::VMMCALL, 0, reason::HYPERCALL),
        (code::WBINVD, 0, reason::CACHE_CONTROL),
        (code::INVD, 0, reason::CACHE_CONTROL),
        (code::XSETBV, 0, reason::XSETBV),
        (code::RDPMC, 0, reason::UNDEFINED),
        (code::VMLOAD, 0, reason::UNDEFINED),
        (code::MWAIT, 0, reason::UNDEFINED),
        (code::SHUTDOWN, 0, reason::SHUTDOWN),
        (code::DR7_WRITE, 0, reason::UNKNOWN),
        (code::INVALID, 0, reason::UNKNOWN),
    ] {
        let (pages, _) = exited(exit_code, info_1, 0, 0);
        assert_eq!(pages.exit().reason, expected, "{exit_code:#x}");
        let groups = Groups::GENERAL | Groups::DECODING | Groups::SYSTEM;
        assert_eq!(pages.exit().groups, groups.bits(), "{exit_code:#x}");
    }
}

#[test]
fn what_a_record_says() {
    let (pages, _) = exited(code::IOIO, 0x3f8_0010, 0, 0x1003);
    let exit = pages.exit();
    assert_eq!((exit.qualification, exit.next_rip, exit.flags), (0x3f8_0010, 0x1003, 1 << 3));
    let info = (NpfInfo::PRESENT | NpfInfo::WRITE | NpfInfo::RMP | NpfInfo::VMPL).bits();
    let (pages, _) = exited(code::NPF, info, 0xfee0_0080, 0);
    let access = Access::PROTECTION | Access::WRITE;
    assert_eq!((pages.exit().gpa, pages.exit().access), (0xfee0_0080, access.bits()));
    let (pages, _) = exited(code::NPF, (NpfInfo::FETCH | NpfInfo::TABLE_WALK).bits(), 0, 0);
    assert_eq!(pages.exit().access, (Access::EXECUTE | Access::PAGE_WALK).bits());
    // HLT has been executed, and is the VMM's to execute.
    let (pages, _) = exited(code::HLT, 0, 0, 0);
    assert_eq!((pages.parts().1.rip(), pages.vmsa().rip), (0x1000, 0x1000));
    let (pages, _) = exited(code::DR7_WRITE, 0, 0, 0);
    assert_eq!(pages.exit().raw_code, code::DR7_WRITE);
}

/// A host that has Plinth run once more, or runs the guest not at all, replays nothing.
#[test]
fn an_exit_is_handled_once() {
    let (pages, _) = exited(code::IOIO, 0x3f8_0010, 0, 0x1003);
    let (vmsa, page) = pages.parts();
    assert!(!has_run(vmsa));
    assert_eq!(record(vmsa, page), Exit::HostInterrupt);
    vmsa.set_exit_code(code::CPUID);
    assert!(has_run(vmsa) && !is_not_validated(vmsa));
    vmsa.set_exit_code(code::PAGE_NOT_VALIDATED);
    assert!(is_not_validated(vmsa));
}

#[test]
fn events_and_priorities_are_told() {
    let pages = Pages::new();
    let (vmsa, page) = pages.parts();
    state::reset(vmsa, 1 << 47);
    vmsa.set_exit_code(code::NPF);
    vmsa.set_exit_int_info(0x8000_0041);
    let control = VintrCtrl::BUSY | VintrCtrl::IRQ | VintrCtrl::INTERRUPT_SHADOW;
    vmsa.set_vintr(control.with_tpr(5).bits());
    assert_eq!(record(vmsa, page), Exit::Vmm);
    let exit = pages.exit();
    let flags = ExitFlags::EVENT
        | ExitFlags::INJECTION_PENDING
        | ExitFlags::TASK_PRIORITY
        | ExitFlags::INTERRUPT_SHADOW;
    assert_eq!((exit.flags, exit.cr8), (flags.bits(), 5));
    assert_eq!((exit.interrupted_event.kind, exit.interrupted_event.vector), (event_kind::INTERRUPT, 0x41));
    assert_eq!(page.exit_summary(), reason::MEMORY | NOTABLE);
    // The event is the VMM's now, and the VMSA may be entered again.
    assert_eq!((pages.vmsa().exit_int_info, pages.vmsa().vintr_ctrl & VintrCtrl::BUSY.bits()), (0, 0));
    vmsa.set_exit_code(code::NPF);
    vmsa.set_vintr(VintrCtrl::GIF.with_tpr(5).bits());
    record(vmsa, page);
    assert_eq!(pages.exit().flags, 0);
}
