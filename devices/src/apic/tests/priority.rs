//! Which interrupt is taken when.

use super::*;

/// TPR, requested, taken, and what a window would be opened for.
type Row = (u8, &'static [u8], Option<u8>, Option<u8>);

#[test]
fn vectors_against_task_priority() {
    let table: &[Row] = &[
        (0x00, &[], None, None),
        (0x00, &[0x10], Some(0x10), Some(0x10)),
        (0x00, &[0x31, 0xef, 0x30], Some(0xef), Some(0xef)),
        (0x0f, &[0x10], Some(0x10), Some(0x10)),
        (0x10, &[0x1f], None, Some(0x1f)),
        (0x10, &[0x20], Some(0x20), Some(0x20)),
        (0xe0, &[0xef, 0x80], None, Some(0xef)),
        (0xf0, &[0xff], None, Some(0xff)),
        (0xef, &[0xff], Some(0xff), Some(0xff)),
    ];
    for &(tpr, requested, taken, window) in table {
        let mut machine = Machine::x2apic(1);
        machine.local[0].set_tpr(tpr);
        for &vector in requested {
            machine.wrmsr(0, spec::SELF_IPI, vector.into()).unwrap();
        }
        assert_eq!(machine.local[0].pending_interrupt(), taken, "TPR {tpr:x}, {requested:x?}");
        assert_eq!(machine.local[0].interrupt_above_service(), window, "TPR {tpr:x}, {requested:x?}");
    }
}

#[test]
fn nested_service() {
    let mut machine = Machine::x2apic(1);
    let request = |machine: &mut Machine, vector| machine.wrmsr(0, spec::SELF_IPI, vector).unwrap();
    request(&mut machine, 0x41);
    machine.local[0].acknowledge(0x41);
    assert_eq!(machine.rdmsr(0, spec::PPR), Ok(0x40));
    // The same class waits, a higher one does not.
    request(&mut machine, 0x4f);
    assert_eq!(machine.pending(), [None]);
    assert_eq!(machine.local[0].interrupt_above_service(), None);
    request(&mut machine, 0x50);
    assert_eq!(machine.pending(), [Some(0x50)]);
    machine.local[0].acknowledge(0x50);
    assert_eq!(machine.rdmsr(0, spec::ISR + 2), Ok(0x1_0002));
    assert_eq!(machine.rdmsr(0, spec::IRR + 2), Ok(0x8000));
    machine.wrmsr(0, spec::EOI, 0).unwrap();
    assert_eq!(machine.rdmsr(0, spec::ISR + 2), Ok(2));
    assert_eq!(machine.pending(), [None]);
    machine.wrmsr(0, spec::EOI, 0).unwrap();
    assert_eq!(machine.pending(), [Some(0x4f)]);
    // With nothing in service it does nothing.
    machine.wrmsr(0, spec::EOI, 0).unwrap();
    assert_eq!(machine.bus.ended, []);
}

#[test]
fn processor_priority_is_the_higher_of_both() {
    for (tpr, in_service, ppr) in
        [(0x35, 0x31, 0x35), (0x25, 0x31, 0x30), (0x45, 0x31, 0x45), (0x31, 0x35, 0x31), (0x07, 0, 0x07)]
    {
        let mut machine = Machine::x2apic(1);
        machine.local[0].set_tpr(tpr);
        if in_service != 0 {
            machine.local[0].acknowledge(in_service);
        }
        assert_eq!(machine.rdmsr(0, spec::PPR), Ok(ppr), "TPR {tpr:x}, in service {in_service:x}");
    }
}

#[test]
fn cr8_replaces_the_class_only() {
    let mut apic = Machine::xapic(1).local.remove(0);
    apic.set_tpr(0x35);
    apic.set_cr8(3);
    assert_eq!(apic.tpr(), 0x35);
    apic.set_cr8(4);
    assert_eq!(apic.tpr(), 0x40);
}

#[test]
fn only_level_triggered_ends_are_reported() {
    use crate::apic::InterruptMessage;
    for (svr, level, reported) in [(0x1ff, true, true), (0x1ff, false, false), (0x11ff, true, false)] {
        let mut machine = Machine::xapic(1);
        machine.store(0, spec::SVR, svr);
        let message = InterruptMessage { level, ..InterruptMessage::from_msi(0xfee0_0000, 0x61).unwrap() };
        assert!(machine.apics.deliver(&message, &mut machine.bus.kicks));
        assert_eq!(machine.pending(), [Some(0x61)]);
        assert_eq!(machine.load(0, spec::TMR + 3), if level { 2 } else { 0 });
        machine.local[0].acknowledge(0x61);
        machine.store(0, spec::EOI, 0);
        assert_eq!(machine.bus.ended, if reported { &[0x61][..] } else { &[] }, "SVR {svr:x}, level {level}");
    }
}

#[test]
fn the_trigger_mode_is_that_of_the_last_request() {
    use crate::apic::InterruptMessage;
    let mut machine = Machine::x2apic(1);
    let deliver = |machine: &mut Machine, data| {
        let message = InterruptMessage::from_msi(0xfee0_0000, data).unwrap();
        assert!(machine.apics.deliver(&message, &mut machine.bus.kicks));
        let vector = machine.local[0].pending_interrupt().unwrap();
        machine.local[0].acknowledge(vector);
        machine.wrmsr(0, spec::EOI, 0).unwrap();
    };
    deliver(&mut machine, 0xc062);
    assert_eq!(machine.rdmsr(0, spec::TMR + 3), Ok(4));
    machine.wrmsr(0, spec::SELF_IPI, 0x62).unwrap();
    assert_eq!(machine.rdmsr(0, spec::TMR + 3), Ok(0));
    machine.local[0].acknowledge(0x62);
    machine.wrmsr(0, spec::EOI, 0).unwrap();
    // A neighbour in the same word brings nothing back.
    deliver(&mut machine, 0x61);
    assert_eq!(machine.rdmsr(0, spec::TMR + 3), Ok(0));
    deliver(&mut machine, 0xc061);
    deliver(&mut machine, 0x61);
    assert_eq!(machine.bus.ended, [0x62, 0x61]);
    // The only one of its word.
    deliver(&mut machine, 0xc081);
    deliver(&mut machine, 0x81);
    assert_eq!(machine.bus.ended, [0x62, 0x61, 0x81]);
}

/// What the owner of a local APIC is told, without a look at the registers that nothing has changed.
#[test]
fn requests_and_changes_are_seen() {
    let mut machine = Machine::xapic(1);
    assert!(machine.local[0].has_changed());
    machine.local[0].attend();
    assert!(!machine.local[0].has_changed() && !machine.local[0].has_requests());
    machine.xapic_ipi(0, 0, 0x41);
    assert_eq!(machine.pending(), [Some(0x41)]);
    // A priority register is no change that moves a deadline.
    assert!(machine.local[0].has_requests() && !machine.local[0].has_changed());
    machine.local[0].acknowledge(0x41);
    assert!(!machine.local[0].has_requests());
    machine.store(0, spec::LVT_TIMER, 0x31);
    assert!(machine.local[0].has_changed());
}

/// TPR is at its highest, so that what is in service alone decides about the window.
#[test]
fn a_window_is_for_what_is_above_the_vector_in_service() {
    // In service, requested, what the window is opened for.
    for (in_service, requested, window) in
        [(0x41, 0x4f_u8, None), (0x41, 0x51, Some(0x51)), (0x4f, 0x50, Some(0x50)), (0x51, 0x4f, None)]
    {
        let mut machine = Machine::xapic(1);
        machine.local[0].set_tpr(0xf0);
        machine.local[0].acknowledge(in_service);
        machine.xapic_ipi(0, 0, requested.into());
        assert_eq!(machine.pending(), [None]);
        let apic = &machine.local[0];
        assert_eq!(apic.interrupt_above_service(), window, "{in_service:x} {requested:x}");
    }
}
