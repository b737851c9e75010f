//! Events delivered where the stack is a device.

use super::segment::{GDT, descriptor};
use decoder::{
    Combined, DescriptorTable, Event, Exception, Mode, Outcome, SegmentState, SystemSegment, combine,
    deliver, vector,
};
use decoder_oracle::TestMachine;

pub(super) const IDT: u64 = 0x5000;
pub(super) const TSS: u64 = 0x7000;
pub(super) const TOP: u64 = 0xa000;
pub(super) const INNER_TOP: u64 = 0xb000;
const IST_TOP: u64 = 0xc000;
pub(super) const HANDLER: u64 = 0x4000;
pub(super) const CODE: u16 = 0x08;
pub(super) const DATA: u16 = 0x10;
pub(super) const USER_CODE: u16 = 0x1b;
pub(super) const USER_DATA: u16 = 0x23;
const IF: u64 = 1 << 9;
const RF: u64 = 1 << 16;

/// An interrupt gate.
pub(super) const GATE: u64 = 0x8e;

pub(super) fn machine(mode: Mode, cpl: u8) -> TestMachine {
    let mut machine = TestMachine::new(mode);
    let code = if mode == Mode::Bits64 { 0xa9b } else { 0xc9b };
    let table = [
        0,
        descriptor(0, 0xf_ffff, code),
        descriptor(0, 0xf_ffff, 0xc93),
        descriptor(0, 0xf_ffff, code | 0x60),
        descriptor(0, 0xf_ffff, 0xcf3),
    ];
    for (at, entry) in (GDT..).step_by(8).zip(table) {
        machine.put(at, &entry.to_le_bytes());
    }
    machine.tables = [
        DescriptorTable { base: GDT, limit: 0x27 },
        DescriptorTable { base: IDT, limit: if mode == Mode::Bits64 { 0xfff } else { 0x7ff } },
    ];
    machine.put(IDT, &[0; 0x1000]);
    machine.put(TSS, &[0; 0x68]);
    machine.put(TSS + 4, &INNER_TOP.to_le_bytes());
    if mode == Mode::Bits64 {
        machine.put(TSS + 0x24, &IST_TOP.to_le_bytes());
    } else {
        machine.put(TSS + 8, &DATA.to_le_bytes());
    }
    let tss = SegmentState { base: TSS, limit: 0x67, attributes: 0x8b };
    machine.system_segments[SystemSegment::Tr as usize] = (0x38, tss);
    let (code, data) = if cpl == 0 { (CODE, DATA) } else { (USER_CODE, USER_DATA) };
    machine.selectors = [data, code, data, data, 0, 0];
    for state in &mut machine.segments {
        state.attributes |= u16::from(cpl) << 5;
    }
    machine.cpl = cpl;
    for top in [TOP, INNER_TOP, IST_TOP] {
        machine.put_device(top - 0x60, &[0; 0x60]);
    }
    machine.gprs[4] = TOP;
    machine.rflags = 2 | IF | 1;
    machine
}

pub(super) fn put_gate(machine: &mut TestMachine, vector: u8, kind: u64, ist: u64) {
    let low = HANDLER | u64::from(CODE) << 16 | ist << 32 | kind << 40;
    let bytes = if machine.paging.efer & 1 << 10 != 0 { 16 } else { 8 };
    machine.put(IDT + bytes * u64::from(vector), &low.to_le_bytes());
}

pub(super) fn event(vector: u8) -> Event {
    Event { vector, error_code: None, is_software: false, is_exception: false }
}

pub(super) fn frame(machine: &TestMachine, bytes: u64, count: u64) -> Vec<u64> {
    let value = |at: u64| (0..bytes).map(|byte| u64::from(machine.device[&(at + byte)]) << (8 * byte)).sum();
    (0..count).map(|index| value(machine.gprs[4] + bytes * index)).collect()
}

fn done(machine: &mut TestMachine, event: Event) {
    assert_eq!(deliver(event, machine), Outcome::Done { single_step: false });
    assert_eq!(machine.rip, HANDLER);
    assert_eq!((machine.selectors[1], machine.cpl), (CODE, 0));
}

#[test]
fn of_64_bit_code() {
    let mut machine = machine(Mode::Bits64, 0);
    put_gate(&mut machine, 0x30, GATE, 0);
    machine.gprs[4] = TOP - 3;
    done(&mut machine, event(0x30));
    // The stack is aligned to sixteen bytes before.
    assert_eq!(machine.gprs[4], TOP - 16 - 40);
    let flags = 2 | IF | 1;
    assert_eq!(frame(&machine, 8, 5), [0x1000, CODE.into(), flags, TOP - 3, DATA.into()]);
    assert_eq!(machine.rflags, 2 | 1);
}

#[test]
fn from_user_code() {
    let mut machine = machine(Mode::Bits64, 3);
    put_gate(&mut machine, 14, GATE, 0);
    let fault = Event { error_code: Some(6), is_exception: true, ..event(14) };
    done(&mut machine, fault);
    assert_eq!((machine.gprs[4], machine.selectors[2]), (INNER_TOP - 48, 0));
    let flags = 2 | IF | 1 | RF;
    assert_eq!(frame(&machine, 8, 6), [6, 0x1000, USER_CODE.into(), flags, TOP, USER_DATA.into()]);
}

#[test]
fn on_an_interrupt_stack() {
    let mut machine = machine(Mode::Bits64, 0);
    put_gate(&mut machine, 2, GATE, 1);
    done(&mut machine, event(2));
    assert_eq!(machine.gprs[4], IST_TOP - 40);
    assert_eq!(machine.selectors[2], DATA);
}

#[test]
fn of_legacy_code() {
    let mut machine = machine(Mode::Bits32, 0);
    // A trap gate leaves IF.
    put_gate(&mut machine, 0x30, 0x8f, 0);
    done(&mut machine, event(0x30));
    assert_eq!(frame(&machine, 4, 3), [0x1000, CODE.into(), 2 | IF | 1]);
    assert_eq!(machine.rflags, 2 | IF | 1);
    let mut machine = self::machine(Mode::Bits32, 3);
    put_gate(&mut machine, 0x30, GATE, 0);
    done(&mut machine, event(0x30));
    assert_eq!((machine.gprs[4], machine.selectors[2]), (INNER_TOP - 20, DATA));
    assert_eq!(frame(&machine, 4, 5), [0x1000, USER_CODE.into(), 2 | IF | 1, TOP, USER_DATA.into()]);
}

#[test]
fn of_virtual_8086_code() {
    let mut machine = machine(Mode::Bits32, 3);
    put_gate(&mut machine, 0x30, GATE, 0);
    machine.rflags |= 1 << 17;
    machine.selectors = [1, 2, 3, 4, 5, 6];
    done(&mut machine, event(0x30));
    assert_eq!(frame(&machine, 4, 9), [0x1000, 2, 0x2_0203, TOP, 3, 1, 4, 5, 6]);
    assert_eq!(machine.selectors, [0, CODE, DATA, 0, 0, 0]);
    assert_eq!(machine.rflags & 1 << 17, 0);
}

#[test]
fn of_real_mode() {
    let mut machine = machine(Mode::Bits16, 0);
    machine.paging.cr0 &= !1;
    machine.put(IDT + 0x30 * 4, &[0x00, 0x40, 0x34, 0x12]);
    machine.selectors[1] = 0x777;
    assert_eq!(deliver(event(0x30), &mut machine), Outcome::Done { single_step: false });
    assert_eq!((machine.rip, machine.selectors[1]), (0x4000, 0x1234));
    assert_eq!(frame(&machine, 2, 3), [0x1000, 0x777, 2 | IF | 1]);
    assert_eq!(machine.rflags, 3);
}

/// What comes up instead: nothing has changed.
#[test]
fn refusals() {
    let plain = |vector, code| Exception { vector, error_code: Some(code), cr2: None };
    type Change = fn(&mut TestMachine);
    let cases: [(Change, Event, Exception); 6] = [
        // No gate.
        (|_| {}, event(0x31), plain(vector::GENERAL_PROTECTION, 0x31 * 8 + 3)),
        // Beyond the table.
        (
            |machine| machine.tables[1].limit = 0x2ff,
            event(0x30),
            plain(vector::GENERAL_PROTECTION, 0x30 * 8 + 3),
        ),
        // Not present.
        (|machine| put_gate(machine, 0x30, 0x0e, 0), event(0x30), plain(vector::NOT_PRESENT, 0x30 * 8 + 3)),
        // INT n from user code needs a gate for it.
        (
            |machine| machine.cpl = 3,
            Event { is_software: true, ..event(0x30) },
            plain(vector::GENERAL_PROTECTION, 0x30 * 8 + 2),
        ),
        // No such code.
        (
            |machine| machine.tables[0].limit = 7,
            event(0x30),
            plain(vector::GENERAL_PROTECTION, u32::from(CODE) | 1),
        ),
        // A stack that is not canonical.
        (|machine| machine.gprs[4] = 1 << 63, event(0x30), plain(vector::STACK, 1)),
    ];
    for (change, event, expected) in cases {
        let mut machine = machine(Mode::Bits64, 0);
        put_gate(&mut machine, 0x30, GATE, 0);
        change(&mut machine);
        let before = (machine.gprs, machine.selectors, machine.segments, machine.rflags, machine.rip);
        assert_eq!(deliver(event, &mut machine), Outcome::Exception(expected));
        let after = (machine.gprs, machine.selectors, machine.segments, machine.rflags, machine.rip);
        assert_eq!(after, before, "{event:?}");
    }
}

#[test]
fn two_exceptions_at_once() {
    use Combined::{DoubleFault, Second, Shutdown};
    let exception = |vector| Event { is_exception: true, ..event(vector) };
    for (first, second, expected) in [
        (event(0x30), vector::PAGE_FAULT, Second),
        (exception(1), vector::PAGE_FAULT, Second),
        (exception(vector::GENERAL_PROTECTION), vector::PAGE_FAULT, Second),
        (exception(vector::GENERAL_PROTECTION), vector::NOT_PRESENT, DoubleFault),
        (exception(vector::PAGE_FAULT), vector::PAGE_FAULT, DoubleFault),
        (exception(vector::PAGE_FAULT), vector::STACK, DoubleFault),
        (exception(vector::DOUBLE_FAULT), vector::STACK, Shutdown),
        (exception(vector::DOUBLE_FAULT), vector::PAGE_FAULT, Shutdown),
    ] {
        assert_eq!(combine(first, second), expected, "{first:?} {second}");
    }
}
