//! What others post, and nothing that came of it by mistake.

use super::*;
use crate::apic::InterruptMessage;

const ITSELF: u32 = 1 << 18;
const NMI: u32 = 4 << 8;

/// Takes all vectors that a vCPU has pending, highest first.
fn take_all(apic: &mut LocalApic) -> Vec<u8> {
    core::iter::from_fn(|| apic.pending_interrupt().inspect(|&vector| apic.acknowledge(vector))).collect()
}

#[test]
fn an_interrupt_is_no_other_event() {
    let mut machine = Machine::xapic(2);
    machine.store(1, spec::LVT_LINT0, 0x71);
    machine.store(1, spec::LVT_LINT1, 0x72);
    machine.store(1, spec::LVT_ERROR, 0x73);
    machine.xapic_ipi(0, 1, 0x51);
    let apic = &mut machine.local[1];
    assert_eq!(take_all(apic), [0x51]);
    assert_eq!((apic.extint_pending(), apic.nmi_pending(), apic.take_startup()), (false, false, None));
}

#[test]
fn a_vector_that_comes_twice_is_pending_once() {
    let mut machine = Machine::xapic(2);
    for _ in 0..2 {
        machine.xapic_ipi(0, 1, 0x51);
        assert_eq!(machine.pending(), [None, Some(0x51)]);
    }
    assert_eq!(take_all(&mut machine.local[1]), [0x51]);
    // The same where the first was level-triggered, and its end is still the I/O APIC's to hear of.
    let level = InterruptMessage::from_msi(0xfee0_1000, 0xc061).unwrap();
    for _ in 0..2 {
        machine.apics.deliver(&level, &mut machine.bus.kicks);
        machine.local[1].sync();
    }
    assert_eq!(machine.load(1, spec::TMR + 3), 1 << 1);
}

#[test]
fn nmis_are_seen_and_latched() {
    let mut machine = Machine::xapic(2);
    assert!(!machine.local[1].nmi_pending());
    for _ in 0..3 {
        machine.xapic_ipi(0, 1, NMI);
        machine.local[1].sync();
    }
    let apic = &mut machine.local[1];
    assert!(apic.nmi_pending());
    // One that the processor handles, one behind it: of those, one is left once it has begun.
    apic.latch_one_nmi();
    assert_eq!((apic.take_nmi(), apic.nmi_pending(), apic.take_nmi()), (true, false, false));
}

#[test]
fn the_lowest_vector_and_shorthands() {
    let mut machine = Machine::xapic(1);
    machine.store(0, spec::LVT_ERROR, 0xfe);
    machine.xapic_ipi(0, 0, 0x10);
    assert_eq!(machine.pending(), [Some(0x10)]);
    // To oneself goes a vector, and nothing else has one.
    machine.store(0, spec::ICR, NMI | ITSELF | 0x51);
    assert_eq!(machine.pending(), [Some(0x10)]);
}

/// The destination half of ICR means something else in x2APIC mode, and is not kept.
#[test]
fn the_destination_is_forgotten_between_modes() {
    let mut machine = Machine::xapic(1);
    machine.store(0, spec::ICR_HIGH, 0x0500_0000);
    let apic = &mut machine.local[0];
    apic.set_base(apic.base()).unwrap();
    assert_eq!(machine.load(0, spec::ICR_HIGH), 0x0500_0000);
    let apic = &mut machine.local[0];
    apic.set_base(apic.base() | spec::BASE_EXTD).unwrap();
    assert_eq!(machine.rdmsr(0, spec::ICR).map(|icr| icr >> 32), Ok(0));
}
