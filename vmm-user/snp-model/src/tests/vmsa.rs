//! VMSAs that are entered, refused, and left.

use plinth_snp_abi::exit;
use plinth_snp_abi::rmp::PageSize;
use plinth_snp_abi::vmsa::{EventInfo, EventType, SevFeatures, VintrCtrl, Vmsa};

use super::rmp::{KERNEL, page, update};
use crate::access::Target;
use crate::rmp::Rmp;
use crate::vmsa::{Allowed, Entered, Exit, Refused, Visible, enter, leave};

const AT: Target = Target { gpa: 0x5000, spa: 0x5000, mapped: PageSize::Small };
const ALLOWED: Allowed = Allowed { asid: 1, features: SevFeatures::all() };
const LOWER: SevFeatures =
    SevFeatures::SNP_ACTIVE.union(SevFeatures::REFLECT_VC).union(SevFeatures::ALTERNATE_INJECTION);

fn machine() -> (Rmp, Vmsa) {
    let mut rmp = Rmp::new(16);
    rmp.update(0x5000, update(0x5000, PageSize::Small)).unwrap();
    rmp.pvalidate(KERNEL, page(0x5000, 0x5000), PageSize::Small, true);
    rmp.rmpadjust(KERNEL, page(0x5000, 0x5000), PageSize::Small, 0x1_0001);
    (rmp, Vmsa::reset(0xffff_fff0).for_vmpl(1, LOWER))
}

#[test]
fn entries() {
    let (mut rmp, mut vmsa) = machine();
    let event = EventInfo::new(EventType::Interrupt, 0x31, None);
    vmsa.event_inj = event.0;
    let entered = enter(&mut rmp, &ALLOWED, &AT, &mut vmsa);
    assert_eq!(entered, Ok(Entered { flushes: true, event: Some(event) }));
    assert_eq!((vmsa.event_inj, rmp.is_in_use(0x5000)), (0, true));
    // Not twice at a time.
    assert_eq!(enter(&mut rmp, &ALLOWED, &AT, &mut vmsa), Err(Refused::Busy));
    let halt = Exit { code: exit::HLT, info_1: 0, info_2: 0, nrip: 0xfff1, interrupted: None };
    let seen = leave(&mut rmp, &AT, &mut vmsa, &halt, false);
    assert_eq!(seen, Visible { code: exit::HLT, info_1: 0, info_2: 0 });
    assert!(!rmp.is_in_use(0x5000));
    vmsa.pcpu_id = 1;
    let again = enter(&mut rmp, &ALLOWED, &AT, &mut vmsa);
    assert_eq!(again, Ok(Entered { flushes: false, event: None }));
}

/// Without alternate injection EVENTINJ of the VMSA is nobody's.
#[test]
fn events_of_other_guests_stay() {
    let (mut rmp, vmsa) = machine();
    let mut vmsa = vmsa.for_vmpl(1, SevFeatures::SNP_ACTIVE);
    vmsa.event_inj = 0x8000_0031;
    let entered = enter(&mut rmp, &ALLOWED, &AT, &mut vmsa).unwrap();
    assert_eq!((entered.event, vmsa.event_inj), (None, 0x8000_0031));
}

#[test]
fn refusals() {
    type Break = fn(&mut Rmp, &mut Vmsa, &mut Allowed, &mut Target);
    let table: [(Break, Refused); 18] = [
        (|_, vmsa, _, _| vmsa.vintr_ctrl |= VintrCtrl::BUSY.bits(), Refused::Busy),
        (|_, vmsa, _, _| vmsa.efer = 0, Refused::Invalid),
        (|_, vmsa, _, _| vmsa.vmpl = 4, Refused::Invalid),
        (|_, vmsa, _, _| vmsa.vmpl = 0, Refused::Invalid),
        (|_, vmsa, _, _| vmsa.cpl = 4, Refused::Invalid),
        (|_, vmsa, _, _| vmsa.sev_features = 0, Refused::Invalid),
        (|_, vmsa, _, _| vmsa.sev_features |= 1 << 3, Refused::Invalid),
        (|_, vmsa, _, _| vmsa.sev_features |= 1 << 16, Refused::Invalid),
        (|_, vmsa, _, _| vmsa.sev_features |= 1 << 62, Refused::Invalid),
        (|_, _, allowed, _| allowed.features = SevFeatures::SNP_ACTIVE, Refused::Invalid),
        (|_, vmsa, _, _| vmsa.cr0 = 0x2000_0010, Refused::Invalid),
        (|_, vmsa, _, _| vmsa.cr0 = 0x8000_0010, Refused::Invalid),
        (|_, _, allowed, _| allowed.asid = 2, Refused::Invalid),
        (|_, _, _, at| at.gpa = 0x6000, Refused::Invalid),
        (|_, _, _, at| at.spa = 0x6000, Refused::Invalid),
        (|_, _, _, at| at.spa = 0x10_0000, Refused::Invalid),
        (
            |rmp, _, _, _| {
                rmp.rmpadjust(KERNEL, page(0x5000, 0x5000), PageSize::Small, 1);
            },
            Refused::Invalid,
        ),
        (
            |rmp, _, _, _| {
                rmp.pvalidate(KERNEL, page(0x5000, 0x5000), PageSize::Small, false);
            },
            Refused::Invalid,
        ),
    ];
    for (number, (damage, refused)) in table.into_iter().enumerate() {
        let (mut rmp, mut vmsa) = machine();
        let (mut allowed, mut at) = (ALLOWED, AT);
        damage(&mut rmp, &mut vmsa, &mut allowed, &mut at);
        let before = vmsa;
        assert_eq!(enter(&mut rmp, &allowed, &at, &mut vmsa), Err(refused), "{number}");
        assert!(!rmp.is_in_use(0x5000) && vmsa == before, "{number}");
    }
    assert_eq!((Refused::Invalid.exit_code(), Refused::Busy.exit_code()), (u64::MAX, u64::MAX - 1));
}

#[test]
fn interrupted_deliveries() {
    let event = EventInfo::new(EventType::Interrupt, 0x31, None);
    let fault = Exit { code: exit::NPF, info_1: 5, info_2: 0x1000, nrip: 0, interrupted: Some(event) };
    for (features, is_busy) in [(LOWER, true), (SevFeatures::SNP_ACTIVE, false)] {
        let (mut rmp, vmsa) = machine();
        let mut vmsa = vmsa.for_vmpl(1, features);
        enter(&mut rmp, &ALLOWED, &AT, &mut vmsa).unwrap();
        let seen = leave(&mut rmp, &AT, &mut vmsa, &fault, false);
        assert_eq!(seen, Visible { code: exit::NPF, info_1: 5, info_2: 0x1000 });
        assert_eq!(vmsa.exit_int_info, event.0);
        assert_eq!(vmsa.vintr_ctrl & VintrCtrl::BUSY.bits() != 0, is_busy);
        let again = enter(&mut rmp, &ALLOWED, &AT, &mut vmsa);
        assert_eq!(again.is_err(), is_busy);
    }
}

#[test]
fn reflected_exits_are_not_shown() {
    let (mut rmp, mut vmsa) = machine();
    enter(&mut rmp, &ALLOWED, &AT, &mut vmsa).unwrap();
    let port = Exit { code: exit::IOIO, info_1: 0x3f8_0010, info_2: 7, nrip: 0xfff2, interrupted: None };
    let seen = leave(&mut rmp, &AT, &mut vmsa, &port, true);
    assert_eq!(seen, Visible { code: 0x5d, info_1: 0, info_2: 0 });
    let stored = (vmsa.exit_code, vmsa.exit_info_1, vmsa.exit_info_2, vmsa.nrip, vmsa.exit_int_info);
    assert_eq!(stored, (exit::IOIO, 0x3f8_0010, 7, 0xfff2, 0));
}
