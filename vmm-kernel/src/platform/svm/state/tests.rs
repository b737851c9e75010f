use super::*;
use crate::platform::svm::host_pages::VcpuPages;
use vcpu_abi::registers::{MsrRegisters, SegmentRegisters};

const LIMITS: Limits = Limits { cr4: 0x7ff, physical_bits: 40 };

fn event(kind: u8, vector: u8, has_error_code: u8, error_code: u32) -> EventInjection {
    EventInjection { kind, vector, has_error_code, reserved: 0, error_code }
}

fn segment(number: u16) -> Segment {
    Segment { selector: number, attributes: 0x93, limit: 0xffff, base: u64::from(number) << 32 }
}

#[test]
fn events_that_a_processor_delivers_are_encoded_and_no_others() {
    use event_kind::{EXCEPTION, INTERRUPT, NMI, NONE, SOFTWARE};
    let bad = Err(Status::BadArgument);
    for (kind, vector, has_error, error, expected) in [
        (NONE, 77, 1, 5, Ok(0)),
        (NMI, 2, 0, 0, Ok(0x8000_0202)),
        (EXCEPTION, 6, 0, 9, Ok(0x8000_0306)),
        (EXCEPTION, 13, 1, 0xabcd, Ok(0xabcd_8000_0b0d)),
        (EXCEPTION, 14, 255, u32::MAX, Ok(0xffff_ffff_8000_0b0e)),
        (EXCEPTION, 31, 0, 0, Ok(0x8000_031f)),
        (EXCEPTION, 32, 0, 0, bad),
        (EXCEPTION, 2, 0, 0, bad),
        (SOFTWARE, 0x80, 0, 0, Ok(0x8000_0480)),
        (INTERRUPT, 0x30, 0, 0, bad),
        (200, 0x30, 0, 0, bad),
    ] {
        assert_eq!(encode(event(kind, vector, has_error, error)), expected, "{kind} {vector}");
    }
}

#[test]
fn interrupted_events_are_decoded() {
    use event_kind::{EXCEPTION, INTERRUPT, NMI, SOFTWARE};
    for (info, expected) in [
        (0, None),
        (0x7fff_ffff, None),
        (0xffff_ffff_0000_0000, None),
        (0x8000_0031, Some(event(INTERRUPT, 0x31, 0, 0))),
        (0x8000_0202, Some(event(NMI, 2, 0, 0))),
        (0x8000_030d, Some(event(EXCEPTION, 13, 0, 0))),
        (0xabcd_8000_0b0d, Some(event(EXCEPTION, 13, 1, 0xabcd))),
        (0x8000_031f, Some(event(EXCEPTION, 31, 0, 0))),
        (0x8000_0320, Some(event(INTERRUPT, 32, 0, 0))),
        (0x8000_0480, Some(event(SOFTWARE, 0x80, 0, 0))),
    ] {
        assert_eq!(decode_event(info), expected, "{info:#x}");
    }
}

#[test]
fn what_is_decoded_can_be_encoded_again() {
    for info in [0x8000_0202, 0x8000_0306, 0x1234_8000_0b0e, 0x8000_0403] {
        assert_eq!(decode_event(info).map(encode), Some(Ok(info)), "{info:#x}");
    }
}

/// A 64-bit guest at CPL 0.
fn long_mode() -> SystemRegisters {
    let cs = Segment { attributes: 0x29b, ..segment(8) };
    let (cr0, cr4, efer) = (0x8005_0033, 0x6b0, 0xd01);
    SystemRegisters { cr0, cr3: 0x1000, cr4, efer, cs, dr6: 0xffff_0ff0, dr7: 0x400, ..Default::default() }
}

#[test]
fn registers_that_vmrun_refuses_are_refused_before() {
    type Change = fn(&mut SystemRegisters);
    let changes: [(&str, bool, Change); 22] = [
        ("as it is", true, |_| {}),
        ("real mode", true, |s| (s.cr0, s.cr4, s.efer) = (0x6000_0010, 0, 0)),
        ("CD without NW", true, |s| s.cr0 |= 1 << 30),
        ("CD and NW", true, |s| s.cr0 |= 3 << 29),
        ("NW without CD", false, |s| s.cr0 |= 1 << 29),
        ("PG without PE", false, |s| (s.cr0, s.efer) = (0x8000_0010, 0)),
        ("long mode without PAE", false, |s| s.cr4 &= !0x20),
        ("long mode enabled, not active, without PAE", true, |s| (s.cr0, s.cr4) = (0x11, 0)),
        ("CS both 64 and 32 bits", false, |s| s.cs.attributes |= 0x400),
        ("the same outside long mode", true, |s| (s.efer, s.cs.attributes) = (0, 0x69b)),
        ("the upper half of CR0", false, |s| s.cr0 |= 1 << 32),
        ("the upper half of DR6", false, |s| s.dr6 |= 1 << 32),
        ("the upper half of DR7", false, |s| s.dr7 |= 1 << 63),
        ("the last physical address", true, |s| s.cr3 = (1 << 40) - 0x1000),
        ("one behind", false, |s| s.cr3 = 1 << 40),
        ("bit 63 of CR3", false, |s| s.cr3 |= 1 << 63),
        ("a bit of CR4 that the processor lacks", false, |s| s.cr4 |= 1 << 16),
        ("a reserved bit of CR4", false, |s| s.cr4 |= 1 << 15),
        ("SVME", false, |s| s.efer |= 1 << 12),
        ("a reserved bit of EFER", false, |s| s.efer |= 2),
        ("LMA without LME", true, |s| s.efer = 0x400),
        ("no NX", true, |s| s.efer &= !0x800),
    ];
    for (what, expected, change) in changes {
        let mut system = long_mode();
        change(&mut system);
        assert_eq!(is_enterable(&system, LIMITS), expected, "{what}");
    }
}

#[test]
fn bits_of_cr4_follow_cpuid() {
    let none = Cpuid { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    assert_eq!(cr4_supported(none, none), 0x7ff);
    for (basic, ebx, ecx, bit) in [
        (0, 0, 1 << 2, 11),
        (0, 0, 1 << 16, 12),
        (0, 1, 0, 16),
        (1 << 17, 0, 0, 17),
        (1 << 26, 0, 0, 18),
        (0, 1 << 7, 0, 20),
        (0, 1 << 20, 0, 21),
        (0, 0, 1 << 3, 22),
    ] {
        let supported = cr4_supported(Cpuid { ecx: basic, ..none }, Cpuid { ebx, ecx, ..none });
        assert_eq!(supported, 0x7ff | 1 << bit, "bit {bit}");
    }
}

#[test]
fn memory_types_of_a_pat() {
    for (value, expected) in [
        (0x0007_0406_0007_0406, true),
        (0x0506_0707_0504_0100, true),
        (0x0007_0406_0007_0402, false),
        (0x0307_0406_0007_0406, false),
        (0x0007_0406_0807_0406, false),
        (u64::MAX, false),
    ] {
        assert_eq!(is_pat(value), expected, "{value:#x}");
    }
}

#[test]
fn a_reset_block_intercepts_all_that_is_not_the_guests() {
    let pages = VcpuPages::new();
    let (vmcb, _) = pages.parts();
    vmcb.save.rax.set(1);
    vmcb.control.exit_int_info.set(1 << 31);
    reset(vmcb, (0x1000, 0x4000), 0x7000, 5);
    let control = &vmcb.control;
    // INTR, NMI, INIT, CR0, RDPMC, CPUID, INVD, HLT, INVLPGA, IOIO, MSR, shutdown (APM volume 2, table B-1).
    assert_eq!(control.intercept1.get(), 0x9d44_802b);
    // VMRUN to SKINIT, WBINVD, MONITOR, MWAIT, XSETBV, RDPRU.
    assert_eq!(control.intercept2.get(), 0x6e7f);
    // #DB, #AC, #MC; writes of CR4.
    assert_eq!(control.intercept_exceptions.get(), 1 << 1 | 1 << 17 | 1 << 18);
    assert_eq!(control.intercept_cr.get() & !(1 << 16), 1 << 20);
    assert_eq!((control.iopm_base.get(), control.msrpm_base.get()), (0x1000, 0x4000));
    assert_eq!((control.nested_control.get(), control.nested_cr3.get()), (1, 0x7000));
    assert_eq!(control.asid_and_tlb_control.get() as u32, 5);
    assert_ne!(control.asid_and_tlb_control.get() >> 32, 0, "a new guest's translations are another's");
    assert_eq!(control.vintr.get(), vintr::MASKING);
    assert_eq!((vmcb.save.rax.get(), control.exit_int_info.get()), (0, 0));
    assert_eq!((vmcb.save.efer.get(), vmcb.save.rflags.get()), (EFER_SVME, 2));
}

fn set_general(page: SharedRunPage, [rax, rsp, rip, rflags]: [u64; 4]) {
    page.set_gpr(0, rax);
    page.set_gpr(4, rsp);
    page.set_rip(rip);
    page.set_rflags(rflags);
}

#[test]
fn groups_come_back_as_they_went_in() {
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    let segments = SegmentRegisters {
        es: segment(1),
        ds: segment(2),
        fs: segment(3),
        gs: segment(4),
        ldtr: segment(5),
        tr: segment(6),
        gdtr: segment(7),
        idtr: segment(8),
    };
    let msrs = MsrRegisters {
        star: 1,
        lstar: 2,
        cstar: 3,
        sfmask: 4,
        kernel_gs_base: 5,
        sysenter_cs: 6,
        sysenter_esp: 7,
        sysenter_eip: 8,
        pat: 0x0007_0406_0007_0406,
        tsc_offset: 10,
        tsc_aux: 0xffff_fff1,
        reserved: 0,
    };
    page.set_segments(segments);
    page.set_msrs(msrs);
    set_general(page, [11, 12, 13, 14]);
    vmcb.control.interrupt_shadow.set(1);
    assert_eq!(load(vmcb, page, Groups::SEGMENTS | Groups::MSRS | Groups::GENERAL), Ok(()));
    assert_eq!(vmcb.control.interrupt_shadow.get(), 0, "a completed instruction ends the shadow");
    let table = |segment: Segment| Segment { selector: 0, attributes: 0, ..segment };
    let tables = (vmcb.save.gdtr.get(), vmcb.save.idtr.get());
    assert_eq!(tables, (table(segments.gdtr), table(segments.idtr)), "what VMRUN is given");
    page.set_segments(SegmentRegisters::default());
    page.set_msrs(MsrRegisters::default());
    set_general(page, [0; 4]);
    store_requested(vmcb, page, Groups::SEGMENTS | Groups::MSRS);
    store_general(vmcb, page);
    let expected = SegmentRegisters { gdtr: table(segments.gdtr), idtr: table(segments.idtr), ..segments };
    assert_eq!((page.segments(), page.msrs()), (expected, msrs));
    assert_eq!((page.gpr(0), page.gpr(4), page.rip(), page.rflags()), (11, 12, 13, 14));
}

#[test]
fn a_pat_that_vmrun_refuses_loads_nothing() {
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    page.set_msrs(MsrRegisters { pat: 2, lstar: 9, ..MsrRegisters::default() });
    assert_eq!(load(vmcb, page, Groups::MSRS), Err(LoadError::NotEnterable));
    assert_eq!((vmcb.save.pat.get(), vmcb.save.lstar.get()), (0, 0));
}

#[test]
fn the_guest_never_sees_svme_and_ss_says_the_cpl() {
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    vmcb.save.efer.set(EFER_SVME | 0xd01);
    vmcb.save.ss.set(Segment { attributes: 0x93, ..segment(0x10) });
    vmcb.save.cpl.set(3);
    store_requested(vmcb, page, Groups::SYSTEM);
    assert_eq!((page.system().efer, page.system().ss.attributes), (0xd01, 0xf3));
}

/// An exit stores what decoding takes, and leaves what the VMM knows as it is.
#[test]
fn decoding_takes_cr3_cs_and_the_privilege_level() {
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    let before = SystemRegisters { cr0: 1, cr4: 2, efer: 3, cr2: 4, dr6: 5, ..SystemRegisters::default() };
    page.set_system(before);
    vmcb.save.cr0.set(0x11);
    vmcb.save.cr3.set(0x22);
    vmcb.save.cr4.set(0x33);
    vmcb.save.efer.set(0x44);
    vmcb.save.cs.set(segment(0x55));
    vmcb.save.ss.set(segment(0x66));
    vmcb.save.cpl.set(3);
    store_decoding(vmcb, page);
    assert_eq!(page.system(), SystemRegisters { cr3: 0x22, cs: segment(0x55), ..before });
    assert_eq!(pages.exit().cpl, 3);
}

#[test]
fn the_cpl_is_what_ss_says() {
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    for (attributes, cpl) in [(0x93, 0), (0xf3, 3), (0xb3, 1)] {
        let ss = Segment { attributes, ..Segment::default() };
        page.set_system(SystemRegisters { cr0: 0x10, ss, ..SystemRegisters::default() });
        assert_eq!(load(vmcb, page, Groups::SYSTEM), Ok(()));
        assert_eq!(vmcb.save.cpl.get(), cpl, "{attributes:#x}");
    }
}

#[test]
fn an_interrupt_is_requested_as_a_virtual_one() {
    let pages = VcpuPages::new();
    let (vmcb, _) = pages.parts();
    vmcb.control.intercept1.set(intercept1::VINTR | intercept1::NMI);
    vmcb.control.vintr.set(vintr::MASKING | 5);
    load_event(vmcb, event(event_kind::INTERRUPT, 0x61, 0, 0)).unwrap();
    assert_eq!(vmcb.control.vintr.get(), vintr::MASKING | 5 | 0x61 << 32 | 0x1f << 16 | 1 << 8);
    assert_eq!(vmcb.control.intercept1.get(), intercept1::NMI, "it is no window");
    assert!(window::interrupt_requested(vmcb) && window::is_requested(vmcb));
    // Another event takes its place.
    load_event(vmcb, event(event_kind::NMI, 2, 0, 0)).unwrap();
    assert_eq!(vmcb.control.vintr.get(), vintr::MASKING | 5);
    assert_eq!(pending_injection(vmcb), ExitFlags::INJECTION_PENDING);
    assert_eq!(load_event(vmcb, event(9, 2, 0, 0)), Err(Status::BadArgument));
    assert_eq!(vmcb.control.event_injection.get(), 0x8000_0202, "what is refused changes nothing");
}

#[test]
fn a_new_event_replaces_what_was_not_delivered() {
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    vmcb.control.event_injection.set(0x8000_0202);
    vmcb.control.exit_int_info.set(0x8000_0031);
    assert_eq!(load(vmcb, page, Groups::INJECTION), Ok(()));
    assert_eq!((vmcb.control.event_injection.get(), vmcb.control.exit_int_info.get()), (0, 0));
}

#[test]
fn an_interrupt_replaces_an_exception_that_was_not_delivered() {
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    vmcb.control.event_injection.set(EVENT_VALID | 3 << 8 | 6);
    pages.set_injection(event(event_kind::INTERRUPT, 0x41, 0, 0));
    assert_eq!(load(vmcb, page, Groups::INJECTION), Ok(()));
    assert_eq!(vmcb.control.event_injection.get(), 0);
    assert!(window::interrupt_requested(vmcb));
}

#[test]
fn a_task_priority_reaches_no_other_bit() {
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    vmcb.control.vintr.set(vintr::MASKING | 3);
    pages.set_cr8(!0xa);
    assert_eq!(load(vmcb, page, Groups::TPR), Ok(()));
    assert_eq!(vmcb.control.vintr.get(), vintr::MASKING | 5);
}

#[test]
fn svme_stays_set_whatever_the_vmm_loads() {
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    page.set_system(SystemRegisters { cr0: 0x10, ..SystemRegisters::default() });
    assert_eq!(load(vmcb, page, Groups::SYSTEM), Ok(()));
    assert_eq!(vmcb.save.efer.get(), EFER_SVME);
}

#[test]
fn what_an_emulator_let_the_guest_do_is_repaired() {
    const INTERRUPTED: u64 = 0x8000_0000 | 3 << 8 | 1;
    let code = |attributes| Segment { attributes, ..segment(8) };
    for (dr6, dr7, efer, attributes, found, after) in [
        (0xffff_0ff0, 0x400, EFER_LMA, 0x29b, false, 0x29b),
        (1 << 32, 0x400, EFER_LMA, 0x29b, true, 0x29b),
        (0, 1 << 63, EFER_LMA, 0x29b, true, 0x29b),
        (0, 0, EFER_LMA, 0x69b, true, 0x29b),
        (0, 0, 0, 0x69b, false, 0x69b),
        (1 << 63, 0, 0, 0x69b, true, 0x69b),
    ] {
        let pages = VcpuPages::new();
        let (vmcb, page) = pages.parts();
        set_general(page, [1, 2, 0x1000, 0x246]);
        vmcb.save.dr6.set(dr6);
        vmcb.save.dr7.set(dr7);
        vmcb.save.efer.set(efer);
        vmcb.save.cs.set(code(attributes));
        vmcb.save.rip.set(0x1abc);
        vmcb.save.rflags.set(0xa93);
        vmcb.control.exit_int_info.set(INTERRUPTED);
        assert_eq!(repair(vmcb, page), found);
        assert_eq!((vmcb.save.dr6.get(), vmcb.save.dr7.get()), (dr6 as u32 as u64, dr7 as u32 as u64));
        assert_eq!(vmcb.save.cs.get(), code(after));
        // What the refusal spoiled.
        let (rip, rflags, event) = if found { (0x1000, 0x246, INTERRUPTED) } else { (0x1abc, 0xa93, 0) };
        assert_eq!((vmcb.save.rip.get(), vmcb.save.rflags.get()), (rip, rflags));
        assert_eq!(vmcb.control.event_injection.get(), event);
    }
}
