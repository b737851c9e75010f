//! Inter-processor interrupts: who takes them, and who is kicked.

use super::*;
use crate::apic::{InterruptMessage, Startup};

const ALL: u32 = 2 << 18;
const OTHERS: u32 = 3 << 18;
const ITSELF: u32 = 1 << 18;
const LOGICAL: u32 = 1 << 11;
const LOWEST: u32 = 1 << 8;
const NMI: u32 = 4 << 8;
const INIT: u32 = 5 << 8 | 1 << 14;
const SIPI: u32 = 6 << 8;

/// Which vCPUs have vector 51h pending, as bits.
fn takers(machine: &mut Machine) -> u32 {
    machine.pending().iter().enumerate().map(|(vcpu, &vector)| u32::from(vector == Some(0x51)) << vcpu).sum()
}

#[test]
fn xapic_destinations() {
    const FLAT: u32 = u32::MAX;
    const CLUSTER: u32 = 0x0fff_ffff;
    let flat = [0x01, 0x02, 0x04, 0x81];
    let cluster = [0x11, 0x12, 0x21, 0x22];
    // DFR, logical IDs, destination, ICR's bits, takers. Sent by vCPU 1.
    let table = [
        (FLAT, flat, 0, 0, 0b0001),
        (FLAT, flat, 3, 0, 0b1000),
        (FLAT, flat, 4, 0, 0),
        (FLAT, flat, 1, 0, 0b0010),
        (FLAT, flat, 0xff, 0, 0b1111),
        (FLAT, flat, 0x01, LOGICAL, 0b1001),
        (FLAT, flat, 0x06, LOGICAL, 0b0110),
        (FLAT, flat, 0x08, LOGICAL, 0),
        (FLAT, flat, 0xff, LOGICAL, 0b1111),
        (CLUSTER, cluster, 0x13, LOGICAL, 0b0011),
        (CLUSTER, cluster, 0x22, LOGICAL, 0b1000),
        (CLUSTER, cluster, 0x31, LOGICAL, 0),
        (CLUSTER, cluster, 0xff, LOGICAL, 0b1111),
        (FLAT, flat, 3, ALL, 0b1111),
        (FLAT, flat, 3, OTHERS, 0b1101),
        (FLAT, flat, 3, ITSELF, 0b0010),
        (FLAT, flat, 3, OTHERS | LOGICAL, 0b1101),
        // Level and de-assert mean nothing for a vector.
        (FLAT, flat, 3, 1 << 15, 0b1000),
        // Reserved delivery mode.
        (FLAT, flat, 3, 3 << 8, 0),
    ];
    for (dfr, ids, destination, bits, expected) in table {
        let mut machine = Machine::xapic(4);
        for (vcpu, id) in ids.into_iter().enumerate() {
            machine.store(vcpu, spec::DFR, dfr);
            machine.store(vcpu, spec::LDR, id << 24);
        }
        machine.xapic_ipi(1, destination, 0x51 | bits);
        assert_eq!(takers(&mut machine), expected, "DFR {dfr:x}, to {destination:x}, {bits:x}");
        let kicked: u32 = machine.kicked().iter().map(|vcpu| 1 << vcpu).sum();
        assert_eq!(kicked, expected & !0b0010, "DFR {dfr:x}, to {destination:x}, {bits:x}");
    }
}

#[test]
fn x2apic_destinations() {
    // Destination, ICR's bits, takers of 18 vCPUs. Sent by vCPU 0.
    let table = [
        (17, 0, 1 << 17),
        (18, 0, 0),
        (0xff, 0, 0),
        (u32::MAX, 0, 0x3_ffff),
        (0x0000_8001, LOGICAL, 0x8001),
        (0x0001_0003, LOGICAL, 0x3_0000),
        (0x0001_0004, LOGICAL, 0),
        (0x0002_0001, LOGICAL, 0),
        (u32::MAX, LOGICAL, 0x3_ffff),
        (0, OTHERS, 0x3_fffe),
        (5, ITSELF, 1),
    ];
    for (destination, bits, expected) in table {
        let mut machine = Machine::x2apic(18);
        let icr = u64::from(destination) << 32 | u64::from(0x51 | bits);
        machine.wrmsr(0, spec::ICR, icr).unwrap();
        assert_eq!(takers(&mut machine), expected, "to {destination:x}, {bits:x}");
        assert_eq!(machine.rdmsr(0, spec::ICR), Ok(icr));
    }
}

#[test]
fn lowest_priority() {
    // Task priorities, logical destination or shorthand, vector, taker. Sent by vCPU 0.
    let table = [
        ([0x20, 0x10, 0x30], 0x07, LOGICAL, 0x51, 1),
        ([0x20, 0x10, 0x10], 0x07, LOGICAL, 0x51, 2),
        ([0x20, 0x10, 0x1f], 0x07, LOGICAL, 0x52, 1),
        ([0, 0, 0], 0x07, LOGICAL, 0x51, 0),
        ([0, 0, 0], 0x07, LOGICAL, 0x52, 1),
        // The lowest of those that it is for.
        ([0x00, 0x20, 0x10], 0x06, LOGICAL, 0x51, 2),
        ([0x00, 0x20, 0x10], 0x02, LOGICAL, 0x51, 1),
        ([0x00, 0x10, 0x20], 0x00, OTHERS, 0x51, 1),
        ([0x00, 0x10, 0x20], 0x08, LOGICAL, 0x51, 3),
    ];
    for (priorities, destination, bits, vector, taker) in table {
        let mut machine = Machine::xapic(3);
        for (vcpu, priority) in priorities.into_iter().enumerate() {
            machine.store(vcpu, spec::LDR, 1 << (24 + vcpu));
            machine.store(vcpu, spec::TPR, priority);
        }
        machine.xapic_ipi(0, destination, u32::from(vector) | LOWEST | bits);
        let expected: Vec<_> = (0..3).map(|vcpu| (vcpu == taker).then_some(vector)).collect();
        assert_eq!(machine.pending(), expected, "{priorities:x?}, to {destination:x}, vector {vector:x}");
    }
}

/// IDs need not be the numbers of the vCPUs: they have gaps where a package has fewer cores than bits.
#[test]
fn a_processor_is_found_by_its_id() {
    let ids = [0, 2, 1, 8];
    for destination in 0..10_u8 {
        let apics = Arc::new(Apics::new(&ids).unwrap());
        let local = (0..4).map(|vcpu| LocalApic::new(apics.clone(), vcpu, CONFIG).unwrap()).collect();
        let mut machine = Machine { bus: Bus::default(), apics, local };
        (0..4).for_each(|vcpu| machine.store(vcpu, spec::SVR, 0x1ff));
        machine.xapic_ipi(0, destination, 0x51);
        let expected = ids.map(|id| (id == u32::from(destination)).then_some(0x51));
        assert_eq!(machine.pending(), expected, "to {destination}");
    }
}

#[test]
fn as_many_as_a_destination_can_name() {
    // IDs, how many there are.
    for (ids, len) in [(0..0, Some(0)), (0..1, Some(1)), (5..7, Some(2)), (0..255, Some(255)), (0..256, None)]
    {
        let ids: Vec<u32> = ids.collect();
        let apics = Apics::new(&ids).ok();
        assert_eq!(apics.as_ref().map(Apics::len), len);
        assert_eq!(apics.as_ref().map(Apics::is_empty), len.map(|len| len == 0));
    }
}

#[test]
fn a_kick_only_for_news() {
    let mut machine = Machine::xapic(2);
    machine.xapic_ipi(0, 1, 0x51);
    assert_eq!(machine.kicked(), [1]);
    // vCPU 1 has not looked yet: it will see both.
    machine.xapic_ipi(0, 1, 0x61);
    machine.xapic_ipi(0, 1, NMI);
    assert_eq!(machine.kicked(), []);
    assert!(machine.apics.get(1).unwrap().has_posted());
    assert_eq!(machine.pending(), [None, Some(0x61)]);
    assert!(machine.local[1].take_nmi());
    assert!(!machine.local[1].take_nmi());
    machine.xapic_ipi(0, 1, 0x61);
    assert_eq!(machine.kicked(), [1]);
}

#[test]
fn disabled_by_software_takes_no_vectors_but_the_rest() {
    let mut machine = Machine::xapic(2);
    machine.store(1, spec::SVR, 0xff);
    machine.xapic_ipi(0, 1, 0x51);
    assert_eq!((machine.kicked(), machine.pending()), (Vec::new(), alloc::vec![None, None]));
    machine.xapic_ipi(0, 1, NMI);
    assert_eq!(machine.kicked(), [1]);
    machine.local[1].sync();
    assert!(machine.local[1].take_nmi());
    machine.local[1].set_base(spec::DEFAULT_BASE).unwrap();
    machine.xapic_ipi(0, 1, NMI);
    assert_eq!(machine.kicked(), []);
}

#[test]
fn start_up() {
    let mut machine = Machine::reset(2, CONFIG);
    machine.store(0, spec::SVR, 0x1ff);
    let startups = |machine: &mut Machine| {
        machine.local[1].sync();
        let apic = &mut machine.local[1];
        (apic.take_startup(), apic.take_startup(), apic.waits_for_sipi())
    };
    // Linux: INIT asserted, INIT de-asserted, two start-up IPIs.
    machine.xapic_ipi(0, 1, INIT | 1 << 15);
    machine.xapic_ipi(0, 1, INIT & !(1 << 14) | 1 << 15);
    assert_eq!(startups(&mut machine), (Some(Startup::Init), None, true));
    machine.xapic_ipi(0, 1, INIT & !(1 << 14) | 1 << 15);
    assert_eq!(startups(&mut machine), (None, None, true));
    machine.xapic_ipi(0, 1, SIPI | 0x9a);
    assert_eq!(startups(&mut machine), (Some(Startup::Sipi { vector: 0x9a }), None, false));
    machine.xapic_ipi(0, 1, SIPI | 0x9b);
    assert_eq!(startups(&mut machine), (None, None, false));
    // All before the target looks.
    machine.xapic_ipi(0, 1, INIT);
    machine.xapic_ipi(0, 1, SIPI | 0x10);
    assert_eq!(startups(&mut machine), (Some(Startup::Init), Some(Startup::Sipi { vector: 0x10 }), false));
    // A start-up IPI that INIT overtakes is lost.
    machine.xapic_ipi(0, 1, INIT);
    machine.xapic_ipi(0, 1, SIPI | 0x10);
    machine.xapic_ipi(0, 1, INIT);
    assert_eq!(startups(&mut machine), (Some(Startup::Init), None, true));
}

#[test]
fn init_resets_and_the_bootstrap_processor_does_not_wait() {
    let mut machine = Machine::xapic(2);
    machine.store(0, spec::TPR, 0x30);
    machine.xapic_ipi(0, 0, 0x51);
    machine.xapic_ipi(1, 0, INIT);
    assert_eq!(machine.pending(), [None, None]);
    let apic = &mut machine.local[0];
    assert_eq!((apic.take_startup(), apic.waits_for_sipi()), (Some(Startup::Init), false));
    assert_eq!((apic.tpr(), apic.base() & spec::BASE_BSP), (0, spec::BASE_BSP));
}

#[test]
fn shorthands_of_other_modes() {
    for (bits, nmis) in [(ITSELF, [false; 3]), (ALL, [false; 3]), (OTHERS, [false, true, true])] {
        let mut machine = Machine::xapic(3);
        machine.store(0, spec::ICR, NMI | bits);
        let taken = machine.local.iter_mut().map(|apic| {
            apic.sync();
            apic.take_nmi()
        });
        assert!(taken.eq(nmis), "shorthand {bits:x}");
    }
}

#[test]
fn illegal_vectors_are_errors_of_both_ends() {
    let mut machine = Machine::xapic(2);
    machine.store(0, spec::LVT_ERROR, 0xfe);
    machine.store(1, spec::LVT_ERROR, 0xfe);
    machine.xapic_ipi(0, 1, 0x0f);
    assert_eq!(machine.pending(), [Some(0xfe), None]);
    assert_eq!(machine.load(0, spec::ESR), 0);
    machine.store(0, spec::ESR, 0);
    assert_eq!(machine.load(0, spec::ESR), spec::ESR_SEND_ILLEGAL);
    machine.store(0, spec::ESR, 0);
    assert_eq!(machine.load(0, spec::ESR), 0);
    // An MSI has no sender to blame.
    let message = InterruptMessage::from_msi(0xfee0_1000, 0x0f).unwrap();
    machine.apics.deliver(&message, &mut machine.bus.kicks);
    assert_eq!(machine.pending(), [Some(0xfe), Some(0xfe)]);
    machine.store(1, spec::ESR, 0);
    assert_eq!(machine.load(1, spec::ESR), spec::ESR_RECEIVE_ILLEGAL);
}

#[test]
fn mixed_modes_find_each_other() {
    // While Linux brings up vCPU 1 it is in xAPIC mode, and vCPU 0 in x2APIC mode.
    let mut machine = Machine::xapic(2);
    machine.local[0].set_base(spec::DEFAULT_BASE | spec::BASE_ENABLE | spec::BASE_EXTD).unwrap();
    machine.wrmsr(0, spec::ICR, 1 << 32 | 0x51).unwrap();
    machine.xapic_ipi(1, 0, 0x52);
    assert_eq!(machine.pending(), [Some(0x52), Some(0x51)]);
    // A logical destination of more than 8 bits is none in xAPIC mode.
    machine.store(1, spec::LDR, 0xff00_0000);
    machine.local[1].acknowledge(0x51);
    machine.wrmsr(0, spec::ICR, 0x101 << 32 | u64::from(LOGICAL) | 0x71).unwrap();
    assert_eq!(machine.pending()[1], None);
    machine.wrmsr(0, spec::ICR, 0x80 << 32 | u64::from(LOGICAL) | 0x71).unwrap();
    assert_eq!(machine.pending()[1], Some(0x71));
    machine.local[1].acknowledge(0x71);
    machine.wrmsr(0, spec::ICR, 0xff << 32 | u64::from(LOGICAL) | 0x81).unwrap();
    assert_eq!(machine.pending()[1], Some(0x81));
}

#[test]
fn msi_decoding() {
    use crate::apic::DeliveryMode::*;
    // Address, data, then (destination, logical, delivery, vector, level).
    let table = [
        (0xfee0_0000, 0x31, Some((0, false, Fixed, 0x31, false))),
        (0xfee0_3000, 0x31, Some((3, false, Fixed, 0x31, false))),
        (0xfeef_f004, 0x31, Some((u32::MAX, true, Fixed, 0x31, false))),
        (0xfee0_100c, 0x31, Some((1, true, LowestPriority, 0x31, false))),
        (0xfee0_1004, 0x131, Some((1, true, LowestPriority, 0x31, false))),
        (0xfee0_1000, 0xc031, Some((1, false, Fixed, 0x31, true))),
        (0xfee0_1000, 0x400, Some((1, false, Nmi, 0, false))),
        (0xfee0_1000, 0x200, Some((1, false, Smi, 0, false))),
        (0xfee0_1000, 0x500, Some((1, false, Init, 0, false))),
        (0xfee0_1000, 0x700, Some((1, false, ExtInt, 0, false))),
        (0xfee0_1000, 0x300, None),
        (0xfee0_1000, 0x600, None),
        (0xfed0_1000, 0x31, None),
        (0x1_fee0_1000, 0x31, None),
    ];
    for (address, data, expected) in table {
        let message = InterruptMessage::from_msi(address, data)
            .map(|m| (m.destination, m.logical, m.delivery, m.vector, m.level));
        assert_eq!(message, expected, "{address:x} {data:x}");
    }
}
