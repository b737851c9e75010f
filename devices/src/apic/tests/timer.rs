//! The timer: counts, deadlines, modes, and the way Linux calibrates it.

use super::*;
use crate::apic::{APIC_TIMER_HZ, APIC_TIMER_TICK_NS};

const PERIODIC: u32 = 1 << 17;
const TSC_DEADLINE: u32 = 2 << 17;
const MASKED: u32 = 1 << 16;

/// Lets time pass as the VMM does: `expire` exactly at each deadline until `now_ns`. Returns how often it
/// fired.
fn run_until(machine: &mut Machine, now_ns: u64) -> u32 {
    let mut fired = 0;
    while let Some(deadline_ns) = machine.local[0].deadline_ns().filter(|&at| at <= now_ns) {
        machine.bus.now_ns = deadline_ns;
        machine.local[0].expire(&machine.bus);
        if let Some(vector) = machine.local[0].pending_interrupt() {
            fired += 1;
            machine.local[0].acknowledge(vector);
            machine.store(0, spec::EOI, 0);
        }
    }
    machine.bus.now_ns = now_ns;
    fired
}

#[test]
fn the_tick_is_exact() {
    assert_eq!(APIC_TIMER_HZ * APIC_TIMER_TICK_NS, 1_000_000_000);
}

#[test]
fn dividers() {
    for (divide, factor) in [(0xb, 1), (0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (0xa, 128)] {
        let mut machine = Machine::xapic(1);
        machine.store(0, spec::LVT_TIMER, 0xef);
        machine.store(0, spec::TIMER_DIVIDE, divide);
        machine.store(0, spec::TIMER_INITIAL, 1000);
        assert_eq!(machine.local[0].deadline_ns(), Some(1000 * 40 * factor), "divide {divide:x}");
        machine.bus.now_ns = 10 * 40 * factor;
        assert_eq!(machine.load(0, spec::TIMER_CURRENT), 990, "divide {divide:x}");
        // It holds a count for all of its time.
        machine.bus.now_ns -= 1;
        assert_eq!(machine.load(0, spec::TIMER_CURRENT), 991, "divide {divide:x}");
    }
}

#[test]
fn how_often_it_fires() {
    // LVT, initial count with 40 ns each, until, fired, count then.
    let table = [
        (0xef, 100, 3_999, 0, 1),
        (0xef, 100, 4_000, 1, 0),
        (0xef, 100, 100_000, 1, 0),
        (0xef, 0, 100_000, 0, 0),
        (0xef | MASKED, 100, 100_000, 0, 0),
        (0xef | MASKED, 100, 2_000, 0, 50),
        (0xef | PERIODIC, 100, 3_999, 0, 1),
        (0xef | PERIODIC, 100, 4_000, 1, 100),
        (0xef | PERIODIC, 100, 14_000, 3, 50),
        (0xef | PERIODIC | MASKED, 100, 14_000, 0, 50),
        (0xef | PERIODIC, u32::MAX, 1_000_000, 0, u32::MAX - 25_000),
    ];
    for (lvt, initial, until_ns, fired, current) in table {
        let mut machine = Machine::xapic(1);
        machine.store(0, spec::TIMER_DIVIDE, 0xb);
        machine.store(0, spec::LVT_TIMER, lvt);
        machine.store(0, spec::TIMER_INITIAL, initial);
        assert_eq!(machine.local[0].deadline_ns().is_some(), lvt & MASKED == 0 && initial != 0);
        assert_eq!(run_until(&mut machine, until_ns), fired, "LVT {lvt:x}, {initial}, {until_ns}");
        assert_eq!(machine.load(0, spec::TIMER_CURRENT), current, "LVT {lvt:x}, {initial}, {until_ns}");
    }
}

#[test]
fn late_expiry_fires_once_and_keeps_the_beat() {
    let mut machine = Machine::xapic(1);
    machine.store(0, spec::TIMER_DIVIDE, 0xb);
    machine.store(0, spec::LVT_TIMER, 0xef | PERIODIC);
    machine.store(0, spec::TIMER_INITIAL, 100);
    machine.bus.now_ns = 13_000;
    machine.local[0].expire(&machine.bus);
    assert_eq!(machine.pending(), [Some(0xef)]);
    assert_eq!(machine.local[0].deadline_ns(), Some(16_000));
    assert_eq!(machine.load(0, spec::TIMER_CURRENT), 75);
}

/// Nobody has looked since the period's end: the count read is of the one that has begun meanwhile.
#[test]
fn a_period_that_was_not_served_is_counted_on() {
    // Time, count: it started at 1000 ns.
    for (now_ns, count) in [(4_960, 1), (5_000, 100), (6_000, 75), (8_960, 1), (10_000, 75)] {
        let mut machine = Machine::xapic(1);
        machine.bus.now_ns = 1_000;
        machine.store(0, spec::TIMER_DIVIDE, 0xb);
        machine.store(0, spec::LVT_TIMER, 0xef | PERIODIC);
        machine.store(0, spec::TIMER_INITIAL, 100);
        machine.bus.now_ns = now_ns;
        assert_eq!(machine.load(0, spec::TIMER_CURRENT), count, "{now_ns} ns");
    }
}

#[test]
fn a_divider_starts_nothing() {
    let mut machine = Machine::xapic(1);
    machine.store(0, spec::LVT_TIMER, 0xef);
    machine.store(0, spec::TIMER_DIVIDE, 3);
    assert_eq!(machine.local[0].deadline_ns(), None);
    let mut machine = tsc_machine();
    machine.local[0].write_tsc_deadline(3000, &machine.bus).unwrap();
    machine.store(0, spec::TIMER_DIVIDE, 3);
    assert_eq!(machine.local[0].deadline_ns(), Some(1000));
}

#[test]
fn changes_while_it_counts() {
    let mut machine = Machine::xapic(1);
    machine.store(0, spec::TIMER_DIVIDE, 0xb);
    machine.store(0, spec::LVT_TIMER, 0xef);
    machine.store(0, spec::TIMER_INITIAL, 100);
    machine.bus.now_ns = 2_000;
    // Another divider: the 50 counts left take four times as long.
    machine.store(0, spec::TIMER_DIVIDE, 1);
    assert_eq!(machine.load(0, spec::TIMER_CURRENT), 50);
    assert_eq!(machine.local[0].deadline_ns(), Some(10_000));
    // Periodic from the next time on.
    machine.store(0, spec::LVT_TIMER, 0xef | PERIODIC);
    assert_eq!(run_until(&mut machine, 10_000 + 16_000), 2);
    // What was due while masked is lost, and does not come when unmasked.
    machine.store(0, spec::LVT_TIMER, 0xef | MASKED);
    machine.bus.now_ns += 100_000;
    machine.store(0, spec::LVT_TIMER, 0xef);
    assert_eq!(machine.pending(), [None]);
    assert_eq!(machine.load(0, spec::TIMER_CURRENT), 0);
}

#[test]
fn what_is_due_comes_before_a_change() {
    for (register, value) in [
        (spec::LVT_TIMER, 0xee | MASKED),
        (spec::TIMER_DIVIDE, 0),
        (spec::TIMER_INITIAL, 5),
        (spec::TIMER_INITIAL, 0),
    ] {
        let mut machine = Machine::xapic(1);
        machine.store(0, spec::TIMER_DIVIDE, 0xb);
        machine.store(0, spec::LVT_TIMER, 0xef);
        machine.store(0, spec::TIMER_INITIAL, 100);
        machine.bus.now_ns = 5_000;
        machine.store(0, register, value);
        assert_eq!(machine.pending(), [Some(0xef)], "register {register:x}");
    }
}

#[test]
fn linux_calibrates_against_another_clock() {
    // calibrate_APIC_clock: divide by 16, the largest count, masked or not, and the difference over a tenth
    // of a second.
    let mut machine = Machine::xapic(1);
    machine.bus.now_ns = 123_456_789;
    machine.store(0, spec::LVT_TIMER, 0xec);
    machine.store(0, spec::TIMER_DIVIDE, 3);
    machine.store(0, spec::TIMER_INITIAL, u32::MAX);
    let before = machine.load(0, spec::TIMER_CURRENT);
    machine.bus.now_ns += 100_000_000;
    let after = machine.load(0, spec::TIMER_CURRENT);
    assert_eq!(u64::from(before - after), APIC_TIMER_HZ / 16 / 10);
}

#[test]
fn tsc_deadline_is_absent_unless_configured() {
    let mut machine = Machine::xapic(1);
    machine.store(0, spec::LVT_TIMER, 0xef | TSC_DEADLINE);
    assert_eq!(machine.load(0, spec::LVT_TIMER), 0xef);
    assert_eq!(machine.local[0].read_tsc_deadline(&machine.bus), Err(GeneralProtection));
    assert_eq!(machine.local[0].write_tsc_deadline(0, &machine.bus), Err(GeneralProtection));
}

/// A timer in TSC-deadline mode with a TSC of 2 GHz, at TSC 1000 and 0 ns.
fn tsc_machine() -> Machine {
    let config = LocalApicConfig { tsc_deadline_hz: Some(2_000_000_000), ..CONFIG };
    let mut machine = Machine::reset(1, config);
    machine.bus.tsc = 1000;
    machine.store(0, spec::SVR, 0x1ff);
    machine.store(0, spec::LVT_TIMER, 0xef | TSC_DEADLINE);
    machine
}

#[test]
fn tsc_deadlines() {
    // Deadline written, when it fires.
    for (deadline, at_ns) in [
        (3000, Some(1000)),
        (3001, Some(1001)),
        (1000, Some(0)),
        (1, Some(0)),
        (0, None),
        (u64::MAX, Some(u64::MAX / 2 - 499)),
    ] {
        let mut machine = tsc_machine();
        machine.local[0].write_tsc_deadline(deadline, &machine.bus).unwrap();
        assert_eq!(machine.local[0].deadline_ns(), at_ns, "deadline {deadline}");
        // One that has passed when it is written fires at once.
        let left = if at_ns == Some(0) { 0 } else { deadline };
        assert_eq!(machine.local[0].read_tsc_deadline(&machine.bus), Ok(left));
        assert_eq!(machine.load(0, spec::TIMER_CURRENT), 0);
    }
}

#[test]
fn tsc_deadline_fires_once_and_disarms() {
    let mut machine = tsc_machine();
    machine.local[0].write_tsc_deadline(3000, &machine.bus).unwrap();
    // The guest set its TSC back meanwhile.
    (machine.bus.now_ns, machine.bus.tsc) = (1000, 2000);
    machine.local[0].expire(&machine.bus);
    assert_eq!((machine.pending(), machine.local[0].deadline_ns()), (alloc::vec![None], Some(1500)));
    (machine.bus.now_ns, machine.bus.tsc) = (1500, 3000);
    machine.local[0].expire(&machine.bus);
    assert_eq!(machine.pending(), [Some(0xef)]);
    assert_eq!(
        (machine.local[0].read_tsc_deadline(&machine.bus), machine.local[0].deadline_ns()),
        (Ok(0), None)
    );
    // Leaving the mode disarms.
    machine.local[0].write_tsc_deadline(9000, &machine.bus).unwrap();
    machine.store(0, spec::LVT_TIMER, 0xef);
    assert_eq!(
        (machine.local[0].read_tsc_deadline(&machine.bus), machine.local[0].deadline_ns()),
        (Ok(0), None)
    );
    machine.local[0].write_tsc_deadline(9000, &machine.bus).unwrap();
    assert_eq!(machine.local[0].deadline_ns(), None);
}

#[test]
fn a_deadline_is_in_the_guests_time() {
    // The TSC is moved before the deadline is written, then again while it waits: written, moved to, when it
    // fires.
    for (before, deadline, after, at_ns) in [
        (0u64, 3000, 1000u64, Some(500)),
        (0, 3000, 2000, Some(0)),
        (0, 3000, 0u64.wrapping_sub(1000), Some(1500)),
        (5000, 7000, 5000, Some(500)),
        (5000, 7000, 0, Some(3000)),
        (5000, 0, 0, None),
    ] {
        let mut machine = tsc_machine();
        machine.local[0].set_tsc_offset(before, &machine.bus);
        machine.local[0].write_tsc_deadline(deadline, &machine.bus).unwrap();
        machine.local[0].set_tsc_offset(after, &machine.bus);
        assert_eq!(machine.local[0].deadline_ns(), at_ns, "{before} {deadline} {after}");
        assert_eq!(machine.local[0].tsc_offset(), after);
        let left = if at_ns == Some(0) { 0 } else { deadline };
        assert_eq!(machine.local[0].read_tsc_deadline(&machine.bus), Ok(left));
    }
    // In another mode nothing waits for it.
    let mut machine = tsc_machine();
    machine.store(0, spec::LVT_TIMER, 0xef);
    machine.local[0].set_tsc_offset(1000, &machine.bus);
    assert_eq!(machine.local[0].deadline_ns(), None);
}

#[test]
fn a_deadline_that_has_passed_is_not_lost() {
    // Whatever the guest does next, before the vCPU has looked at its timer.
    let next: [fn(&mut Machine); 3] = [
        |machine| assert_eq!(machine.local[0].read_tsc_deadline(&machine.bus), Ok(0)),
        |machine| machine.local[0].write_tsc_deadline(0, &machine.bus).unwrap(),
        |machine| machine.local[0].set_tsc_offset(0u64.wrapping_sub(9000), &machine.bus),
    ];
    for next in next {
        let mut machine = tsc_machine();
        machine.local[0].write_tsc_deadline(3000, &machine.bus).unwrap();
        (machine.bus.now_ns, machine.bus.tsc) = (1000, 3000);
        next(&mut machine);
        assert_eq!(machine.pending(), [Some(0xef)]);
        assert_eq!(machine.local[0].read_tsc_deadline(&machine.bus), Ok(0));
    }
    // Masked, the register tells it alone.
    let mut machine = tsc_machine();
    machine.store(0, spec::LVT_TIMER, 0xef | TSC_DEADLINE | spec::LVT_MASKED);
    machine.local[0].write_tsc_deadline(3000, &machine.bus).unwrap();
    (machine.bus.now_ns, machine.bus.tsc) = (1000, 3000);
    assert_eq!(machine.local[0].read_tsc_deadline(&machine.bus), Ok(0));
    assert_eq!(machine.pending(), [None]);
}
