use plinth_snp_abi::exit as code;
use plinth_snp_abi::rmp::PageSize;
use plinth_snp_model::access::Target;
use plinth_snp_model::rmp::guest::{Executor, Page};
use plinth_snp_model::rmp::{Rmp, Update};
use plinth_snp_model::vmsa::{Allowed, Exit, Refused, enter, leave};

use super::*;
use crate::platform::snp::testing_vcpu::Pages;

const TOP: u64 = 1 << 47;

fn event(kind: u8, vector: u8, has_error_code: u8, error_code: u32) -> EventInjection {
    EventInjection { kind, vector, has_error_code, reserved: 0, error_code }
}

fn inject(pages: &Pages, event: EventInjection) -> Result<(), LoadError> {
    let (vmsa, page) = pages.parts();
    pages.set_injection(event);
    load(vmsa, page, Groups::INJECTION)
}

#[test]
fn events_that_a_processor_delivers_are_encoded_and_no_others() {
    use event_kind::{EXCEPTION, NMI, NONE, SOFTWARE};
    let bad = Err(LoadError::Refused(Status::BadArgument));
    for (kind, vector, has_error, error, expected) in [
        (NONE, 77, 1, 5, Ok(0)),
        (NMI, 2, 0, 0, Ok(0x8000_0202)),
        (EXCEPTION, 6, 0, 9, Ok(0x8000_0306)),
        (EXCEPTION, 13, 1, 0xabcd, Ok(0xabcd_8000_0b0d)),
        (EXCEPTION, 31, 0, 0, Ok(0x8000_031f)),
        (EXCEPTION, 32, 0, 0, bad),
        (EXCEPTION, 2, 0, 0, bad),
        (SOFTWARE, 0x80, 0, 0, Ok(0x8000_0480)),
        (200, 0x30, 0, 0, bad),
    ] {
        let pages = Pages::new();
        let loaded = inject(&pages, event(kind, vector, has_error, error));
        assert_eq!(loaded.map(|()| pages.vmsa().event_inj), expected, "{kind} {vector}");
    }
}

#[test]
fn an_interrupt_is_the_virtual_one_and_gives_way_to_any_other_event() {
    let pages = Pages::new();
    let (vmsa, _) = pages.parts();
    reset(vmsa, TOP);
    inject(&pages, event(event_kind::NMI, 2, 0, 0)).unwrap();
    inject(&pages, event(event_kind::INTERRUPT, 0x41, 0, 0)).unwrap();
    let control = VintrCtrl::from_bits_retain(pages.vmsa().vintr_ctrl);
    assert!(control.contains(VintrCtrl::IRQ | VintrCtrl::GIF | VintrCtrl::IGNORE_TPR));
    assert_eq!((control.vector(), control.priority(), pages.vmsa().event_inj), (0x41, 0xf, 0));
    assert!(has_event(vmsa));
    inject(&pages, event(event_kind::EXCEPTION, 6, 0, 0)).unwrap();
    assert_eq!((pages.vmsa().vintr_ctrl & VintrCtrl::IRQ.bits(), pages.vmsa().event_inj), (0, 0x8000_0306));
    inject(&pages, EventInjection::default()).unwrap();
    assert!(!has_event(vmsa));
}

#[test]
fn interrupted_events_are_decoded_and_delivered_again() {
    use event_kind::{EXCEPTION, INTERRUPT, NMI, SOFTWARE};
    for (info, expected) in [
        (0, None),
        (0x7fff_ffff, None),
        (0x8000_0031, Some(event(INTERRUPT, 0x31, 0, 0))),
        (0x8000_0202, Some(event(NMI, 2, 0, 0))),
        (0xabcd_8000_0b0d, Some(event(EXCEPTION, 13, 1, 0xabcd))),
        (0x8000_0480, Some(event(SOFTWARE, 0x80, 0, 0))),
    ] {
        let pages = Pages::new();
        let (vmsa, _) = pages.parts();
        vmsa.set_exit_int_info(info);
        vmsa.set_vintr(VintrCtrl::BUSY.bits() | 0x7);
        assert_eq!(interrupted(vmsa), expected, "{info:#x}");
        redeliver(vmsa);
        let left = pages.vmsa();
        let again = if expected.is_some() { info } else { 0 };
        assert_eq!((left.event_inj, left.exit_int_info, left.vintr_ctrl), (again, 0, 7), "{info:#x}");
    }
}

#[test]
fn a_guest_takes_interrupts_when_nothing_keeps_it_from_that() {
    for (rflags, control, event, expected) in [
        (0x202, 0, 0, true),
        (0x2, 0, 0, false),
        (0x202, VintrCtrl::INTERRUPT_SHADOW.bits(), 0, false),
        (0x202, VintrCtrl::IRQ.bits(), 0, false),
        (0x202, 0, 0x8000_0306, false),
    ] {
        let pages = Pages::new();
        let (vmsa, _) = pages.parts();
        vmsa.set_rflags(rflags);
        vmsa.set_vintr(control);
        vmsa.set_event(event);
        assert_eq!(is_interruptible(vmsa), expected, "{rflags:#x} {control:#x} {event:#x}");
    }
}

#[test]
fn a_window_opens_by_what_the_guest_has_changed() {
    for (want, rflags, tpr, known, expected) in [
        (window::NONE, 0x202, 3, 0, false),
        (window::OPEN, 0x202, 0, 0, true),
        (window::OPEN, 0x2, 0, 0, false),
        (window::PRIORITY, 0x202, 3, 3, false),
        (window::PRIORITY, 0x2, 3, 5, true),
        (window::ALL, 0x2, 3, 3, false),
    ] {
        let pages = Pages::new();
        let (vmsa, page) = pages.parts();
        pages.set_window(want);
        vmsa.set_rflags(rflags);
        vmsa.set_vintr(VintrCtrl::GIF.with_tpr(tpr).bits());
        page.set_cr8(known);
        assert_eq!(is_window_open(vmsa, page), expected, "{want} {rflags:#x} {tpr} {known}");
    }
}

fn segment(number: u16) -> Segment {
    Segment { selector: number, attributes: 0x93, limit: 0xffff, base: u64::from(number) << 32 }
}

fn system() -> SystemRegisters {
    let cs = Segment { attributes: 0x29b, ..segment(8) };
    let ss = Segment { attributes: 0x93 | DPL, ..segment(16) };
    SystemRegisters {
        cr0: 0x8000_0011,
        cr3: 0x1234_5000,
        cr4: 0x20,
        efer: 0xd00,
        cs,
        ss,
        cr2: 0xdead_beef,
        cr8: 0,
        dr6: 0xffff_0ff0,
        dr7: 0x400,
    }
}

#[test]
fn what_is_loaded_is_stored() {
    let pages = Pages::new();
    let (vmsa, page) = pages.parts();
    let segments = SegmentRegisters {
        es: segment(1),
        ds: segment(2),
        fs: segment(3),
        gs: segment(4),
        ldtr: segment(5),
        tr: segment(6),
        gdtr: Segment { selector: 0, attributes: 0, ..segment(7) },
        idtr: Segment { selector: 0, attributes: 0, ..segment(8) },
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
        pat: 9,
        tsc_offset: 0,
        tsc_aux: 10,
        reserved: 0,
    };
    page.set_system(system());
    page.set_segments(segments);
    page.set_msrs(msrs);
    (0..16).for_each(|index| page.set_gpr(index, index as u64 + 100));
    page.set_rip(0x1000);
    page.set_rflags(0x246);
    load(vmsa, page, Groups::GENERAL | REQUESTED).unwrap();
    load_others(vmsa, page);
    // The CPL is a field of its own, and SVME is not the VMM's.
    assert_eq!((pages.vmsa().cpl, pages.vmsa().efer), (3, 0xd00));
    let other = Pages::new();
    let (_, stored) = other.parts();
    store_requested(vmsa, stored, REQUESTED);
    store_general(vmsa, stored);
    assert_eq!(stored.system(), system());
    assert_eq!((stored.segments(), stored.msrs()), (segments, msrs));
    assert!((0..16).all(|index| stored.gpr(index) == index as u64 + 100));
    assert_eq!((stored.rip(), stored.rflags()), (0x1000, 0x246));
}

#[test]
fn states_that_no_processor_enters_are_refused() {
    type Change = fn(&mut SystemRegisters);
    let table: [(Change, bool); 8] = [
        (|_| {}, true),
        (|system| system.cr0 = 0x6000_0010, true),
        (|system| system.cr0 = 0x2000_0010, false),
        (|system| system.cr0 = 0x8000_0010, false),
        (|system| system.cr0 |= 1 << 32, false),
        (|system| system.cr4 = 0, false),
        (|system| system.cs.attributes |= 0x400, false),
        (|system| system.dr7 |= 1 << 32, false),
    ];
    for (number, (change, expected)) in table.into_iter().enumerate() {
        let pages = Pages::new();
        let (vmsa, page) = pages.parts();
        let mut registers = system();
        change(&mut registers);
        page.set_system(registers);
        let loaded = load(vmsa, page, Groups::SYSTEM);
        assert_eq!(loaded, if expected { Ok(()) } else { Err(LoadError::NotEnterable) }, "{number}");
    }
}

#[test]
fn an_instruction_that_the_vmm_completes_ends_a_shadow() {
    let pages = Pages::new();
    let (vmsa, page) = pages.parts();
    vmsa.set_vintr(VintrCtrl::INTERRUPT_SHADOW.bits());
    load(vmsa, page, Groups::MSRS).unwrap();
    assert!(in_shadow(vmsa));
    load(vmsa, page, Groups::GENERAL).unwrap();
    assert!(!in_shadow(vmsa));
}

const AT: Target = Target { gpa: 0x5000, spa: 0x5000, mapped: PageSize::Small };
const ALLOWED: Allowed = Allowed { asid: 1, features: FEATURES };

/// A machine with that page as a VMSA of VMPL1.
fn machine() -> Rmp {
    let mut rmp = Rmp::new(16);
    let kernel = Executor { asid: 1, vmpl: 0, cpl: 0 };
    let page = Page { gva: 0x5000, gpa: 0x5000, spa: 0x5000, mapped: PageSize::Small };
    let update = Update { assigned: true, size: PageSize::Small, asid: 1, gpa: 0x5000, immutable: false };
    rmp.update(0x5000, update).unwrap();
    rmp.pvalidate(kernel, page, PageSize::Small, true);
    rmp.rmpadjust(kernel, page, PageSize::Small, 0x1_0001);
    rmp
}

/// VMRUN of the model, of what the kernel has made of the page.
fn vmrun(rmp: &mut Rmp, pages: &Pages) -> Result<(), Refused> {
    let mut vmsa = pages.vmsa();
    let entered = enter(rmp, &ALLOWED, &AT, &mut vmsa).map(drop);
    pages.set_vmsa(&vmsa);
    entered
}

#[test]
fn a_processor_enters_the_vmsa_for_the_time_of_an_entry_alone() {
    let (pages, mut rmp) = (Pages::new(), machine());
    let (vmsa, _) = pages.parts();
    reset(vmsa, TOP);
    assert_eq!(vmrun(&mut rmp, &pages), Err(Refused::Invalid));
    vmsa.make_runnable();
    assert_eq!(vmrun(&mut rmp, &pages), Ok(()));
    // An exit in the middle of an event's delivery keeps it from running until that has been taken.
    let mut left = pages.vmsa();
    let interrupted = Some(EventInfo::new(EventType::Interrupt, 0x41, None));
    let exit = Exit { code: code::NPF, info_1: 5, info_2: 0x1000, nrip: 0, interrupted };
    leave(&mut rmp, &AT, &mut left, &exit, false);
    pages.set_vmsa(&left);
    assert_eq!(vmrun(&mut rmp, &pages), Err(Refused::Busy));
    vmsa.make_unrunnable();
    redeliver(vmsa);
    assert_eq!(vmrun(&mut rmp, &pages), Err(Refused::Invalid));
    vmsa.make_runnable();
    assert_eq!(vmrun(&mut rmp, &pages), Ok(()));
    assert_eq!(pages.vmsa().event_inj, 0, "the processor has taken the event");
}
