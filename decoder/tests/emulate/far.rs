//! Far JMP, CALL and RET, and IRET, with the pointer or the stack on a device.

use super::segment::{GDT, descriptor};
use decoder::{Exception, Mode, Outcome, Segment, SegmentState, Stop, SystemSegment, vector};
use decoder_oracle::TestMachine;

/// Where RBX points.
pub(super) const AT: u64 = 0x9000;
pub(super) const TOP: u64 = 0xa000;
/// The stack of level 0 that the TSS names.
pub(super) const INNER_TOP: u64 = 0xb000;
pub(super) const TSS_AT: u64 = 0x7000;

/// Entries of the table: code and data of level 0 and of level 3, conforming code, a gate for level 3 to code
/// of level 0 with two parameters, an available TSS, 64-bit code of level 3.
pub(super) const CODE: u16 = 0x08;
pub(super) const DATA: u16 = 0x10;
pub(super) const USER_CODE: u16 = 0x1b;
pub(super) const USER_DATA: u16 = 0x23;
const CONFORMING: u16 = 0x28;
const GATE: u16 = 0x33;
const TASK: u16 = 0x38;
pub(super) const LONG_CODE: u16 = 0x43;
/// A gate of long mode, of two entries, to 64-bit code of level 0.
const LONG_GATE: u16 = 0x4b;
const LONG_KERNEL: u16 = 0x58;

pub(super) fn machine(mode: Mode, cpl: u8) -> TestMachine {
    let mut machine = TestMachine::new(mode);
    let gate = 0x4000 | u64::from(CODE) << 16 | 2 << 32 | 0xec << 40;
    let long_gate = 0x4000 | u64::from(LONG_KERNEL) << 16 | 0xec << 40;
    let table = [
        0,
        descriptor(0, 0xf_ffff, 0xc9b),
        descriptor(0, 0xf_ffff, 0xc93),
        descriptor(0, 0xf_ffff, 0xcfb),
        descriptor(0, 0xf_ffff, 0xcf3),
        descriptor(0, 0xf_ffff, 0xc9f),
        gate,
        descriptor(0x7000, 0x67, 0x89),
        descriptor(0, 0xf_ffff, 0xafb),
        long_gate,
        0,
        descriptor(0, 0xf_ffff, 0xa9b),
    ];
    for (at, entry) in (GDT..).step_by(8).zip(table) {
        machine.put(at, &entry.to_le_bytes());
    }
    machine.tables[0] = decoder::DescriptorTable { base: GDT, limit: 0x5f };
    let (code, data) = if cpl == 0 { (CODE, DATA) } else { (USER_CODE, USER_DATA) };
    machine.selectors = [data, code, data, data, 0, data];
    let dpl = u16::from(cpl) << 5;
    for state in &mut machine.segments {
        state.attributes |= dpl;
    }
    machine.cpl = cpl;
    let tss = SegmentState { base: TSS_AT, limit: 0x67, attributes: 0x8b };
    machine.system_segments[SystemSegment::Tr as usize] = (0x38, tss);
    machine.put(TSS_AT, &[0; 0x68]);
    machine.put(TSS_AT + 4, &INNER_TOP.to_le_bytes());
    if mode != Mode::Bits64 {
        machine.put(TSS_AT + 8, &DATA.to_le_bytes());
    }
    machine.put_device(AT, &[0; 16]);
    machine.put_device(TOP - 0x40, &[0; 0x80]);
    machine.put_device(INNER_TOP - 0x40, &[0; 0x40]);
    (machine.gprs[3], machine.gprs[4]) = (AT, TOP);
    machine
}

pub(super) fn put_pointer(machine: &mut TestMachine, offset: u32, selector: u16) {
    machine.put_device(AT, &offset.to_le_bytes());
    machine.put_device(AT + 4, &selector.to_le_bytes());
}

pub(super) fn put_stack(machine: &mut TestMachine, values: &[u64], bytes: u64) {
    for (at, value) in (TOP..).step_by(bytes as usize).zip(values) {
        machine.put_device(at, &value.to_le_bytes()[..bytes as usize]);
    }
}

pub(super) fn stacked(machine: &TestMachine, bytes: u64, index: u64) -> u64 {
    let at = machine.gprs[4] + bytes * index;
    (0..bytes).map(|byte| u64::from(machine.device[&(at + byte)]) << (8 * byte)).sum()
}

pub(super) fn done(machine: &mut TestMachine, code: &[u8]) {
    assert_eq!(machine.run(code, 1), Outcome::Done { single_step: false }, "{code:02x?}");
}

#[test]
fn jumps() {
    let refused = |selector: u16| Exception {
        vector: vector::GENERAL_PROTECTION,
        error_code: Some(u32::from(selector & !3)),
        cr2: None,
    };
    for (cpl, selector, expected) in [
        (0, CODE, None),
        (3, USER_CODE, None),
        (0, CONFORMING, None),
        (3, CONFORMING, None),
        (3, CODE, Some(refused(CODE))),
        (0, USER_CODE, Some(refused(USER_CODE))),
        (0, DATA, Some(refused(DATA))),
        (0, 0, Some(Exception::GENERAL_PROTECTION)),
        (0, 0x60, Some(refused(0x60))),
        // A jump through a gate keeps the privilege level.
        (3, GATE, Some(refused(CODE))),
    ] {
        let mut machine = machine(Mode::Bits32, cpl);
        put_pointer(&mut machine, 0x4321, selector);
        let Some(exception) = expected else {
            done(&mut machine, &[0xff, 0x2b]);
            assert_eq!(machine.rip, 0x4321);
            assert_eq!(machine.selectors[1], selector & !3 | u16::from(cpl));
            assert_eq!(machine.cpl, cpl);
            continue;
        };
        assert_eq!(machine.fault(&[0xff, 0x2b]), exception, "{cpl} {selector:x}");
        assert_eq!(machine.rip, 0x1000);
    }
}

#[test]
fn a_call_pushes_where_to_return_to() {
    let mut machine = machine(Mode::Bits32, 3);
    put_pointer(&mut machine, 0x4321, USER_CODE);
    done(&mut machine, &[0xff, 0x1b]);
    assert_eq!((machine.rip, machine.gprs[4]), (0x4321, TOP - 8));
    assert_eq!((stacked(&machine, 4, 0), stacked(&machine, 4, 1)), (0x1002, USER_CODE.into()));
    // And back.
    done(&mut machine, &[0xcb]);
    assert_eq!((machine.rip, machine.gprs[4], machine.selectors[1]), (0x1002, TOP, USER_CODE));
}

#[test]
fn a_call_through_a_gate_changes_the_stack() {
    let mut machine = machine(Mode::Bits32, 3);
    put_pointer(&mut machine, 0, GATE);
    put_stack(&mut machine, &[0x11, 0x22], 4);
    done(&mut machine, &[0xff, 0x1b]);
    assert_eq!((machine.rip, machine.cpl, machine.selectors[1]), (0x4000, 0, CODE));
    assert_eq!((machine.selectors[2], machine.gprs[4]), (DATA, INNER_TOP - 24));
    let frame: Vec<u64> = (0..6).map(|index| stacked(&machine, 4, index)).collect();
    assert_eq!(frame, [0x1002, USER_CODE.into(), 0x11, 0x22, TOP, USER_DATA.into()]);
    // And back, taking the parameters off both stacks. What is too privileged is nothing then.
    machine.segments[Segment::Ds as usize].attributes = 0xc93;
    done(&mut machine, &[0xca, 8, 0]);
    assert_eq!((machine.rip, machine.cpl, machine.selectors[1]), (0x1002, 3, USER_CODE));
    assert_eq!((machine.selectors[2], machine.gprs[4]), (USER_DATA, TOP + 8));
    assert_eq!(machine.segments[Segment::Ds as usize].attributes, 0);
}

/// If the inner stack can't be written, everything is as it was.
#[test]
fn a_call_that_faults_stays_outside() {
    let mut machine = machine(Mode::Bits32, 3);
    put_pointer(&mut machine, 0, GATE);
    // SS of level 0 is limited to what the frame does not fit in.
    machine.put(GDT + u64::from(DATA), &descriptor(0, 0x100, 0x493).to_le_bytes());
    let before = (machine.gprs, machine.selectors, machine.segments);
    assert_eq!(machine.fault(&[0xff, 0x1b]).vector, vector::STACK);
    assert_eq!((machine.gprs, machine.selectors, machine.segments), before);
    assert_eq!((machine.cpl, machine.rip), (3, 0x1000));
}

#[test]
fn a_gate_of_long_mode() {
    let mut machine = machine(Mode::Bits64, 3);
    put_pointer(&mut machine, 0, LONG_GATE);
    done(&mut machine, &[0xff, 0x1b]);
    assert_eq!((machine.rip, machine.cpl, machine.selectors[1]), (0x4000, 0, LONG_KERNEL));
    assert_eq!((machine.selectors[2], machine.gprs[4]), (0, INNER_TOP - 32));
    let frame: Vec<u64> = (0..4).map(|index| stacked(&machine, 8, index)).collect();
    assert_eq!(frame, [0x1002, USER_CODE.into(), TOP, USER_DATA.into()]);
}

#[test]
fn iret() {
    // Legacy, to the same level, and to the outer one.
    let mut machine = machine(Mode::Bits32, 0);
    put_stack(&mut machine, &[0x4321, CODE.into(), 0x3293], 4);
    done(&mut machine, &[0xcf]);
    assert_eq!((machine.rip, machine.gprs[4], machine.rflags), (0x4321, TOP + 12, 0x3293));
    let mut machine = self::machine(Mode::Bits32, 0);
    put_stack(&mut machine, &[0x4321, USER_CODE.into(), 0x202, 0x8000, USER_DATA.into()], 4);
    done(&mut machine, &[0xcf]);
    assert_eq!((machine.rip, machine.gprs[4], machine.cpl), (0x4321, 0x8000, 3));
    assert_eq!((machine.selectors[1], machine.selectors[2]), (USER_CODE, USER_DATA));
    // 64-bit code has a stack in any case.
    let mut machine = self::machine(Mode::Bits64, 0);
    put_stack(&mut machine, &[0x4321, LONG_KERNEL.into(), 0x202, 0x8000, 0], 8);
    done(&mut machine, &[0x48, 0xcf]);
    assert_eq!((machine.rip, machine.gprs[4], machine.cpl, machine.selectors[2]), (0x4321, 0x8000, 0, 0));
    let mut machine = self::machine(Mode::Bits64, 0);
    put_stack(&mut machine, &[0x4321, LONG_CODE.into(), 0x202, 0x8000, USER_DATA.into()], 8);
    done(&mut machine, &[0x48, 0xcf]);
    assert_eq!((machine.rip, machine.gprs[4], machine.cpl), (0x4321, 0x8000, 3));
}

#[test]
fn iret_refuses_what_is_more_privileged() {
    let mut machine = machine(Mode::Bits32, 3);
    put_stack(&mut machine, &[0x4321, CODE.into(), 0x202], 4);
    let fault = machine.fault(&[0xcf]);
    assert_eq!((fault.vector, fault.error_code), (vector::GENERAL_PROTECTION, Some(CODE.into())));
}

#[test]
fn to_a_virtual_8086_task_and_from_it() {
    let mut machine = machine(Mode::Bits32, 0);
    let frame = [0x10, 0x1234, 0x2_0202, 0x8000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000];
    put_stack(&mut machine, &frame, 4);
    done(&mut machine, &[0xcf]);
    assert_eq!((machine.rip, machine.cpl, machine.gprs[4]), (0x10, 3, 0x8000));
    assert_eq!(machine.selectors, [0x3000, 0x1234, 0x2000, 0x4000, 0x5000, 0x6000]);
    let cs = SegmentState { base: 0x1_2340, limit: 0xffff, attributes: 0xf3 };
    assert_eq!(machine.segments[1], cs);
    assert_eq!(machine.rflags, 0x2_0202);
}

#[test]
fn real_mode() {
    let mut machine = machine(Mode::Bits16, 0);
    machine.paging.cr0 &= !1;
    machine.selectors[1] = 0x777;
    machine.put_device(AT, &[0x21, 0x43, 0x34, 0x12]);
    done(&mut machine, &[0x67, 0xff, 0x1b]);
    assert_eq!((machine.rip, machine.selectors[1], machine.segments[1].base), (0x4321, 0x1234, 0x1_2340));
    assert_eq!((stacked(&machine, 2, 0), stacked(&machine, 2, 1)), (0x1003, 0x777));
    done(&mut machine, &[0xcb]);
    assert_eq!((machine.rip, machine.selectors[1]), (0x1003, 0x777));
    put_stack(&mut machine, &[0x4321, 0x1234, 0x203], 2);
    done(&mut machine, &[0xcf]);
    assert_eq!((machine.rip, machine.segments[1].base, machine.rflags), (0x4321, 0x1_2340, 0x203));
}

#[test]
fn another_task() {
    let mut machine = machine(Mode::Bits32, 0);
    put_pointer(&mut machine, 0, TASK);
    assert_eq!(machine.run(&[0xff, 0x2b], 1), Outcome::Stop(Stop::TaskSwitch));
    machine.rflags |= 1 << 14;
    assert_eq!(machine.run(&[0xcf], 1), Outcome::Stop(Stop::TaskSwitch));
    // Long mode has none.
    let mut machine = self::machine(Mode::Bits64, 0);
    machine.rflags |= 1 << 14;
    assert_eq!(machine.fault(&[0x48, 0xcf]), Exception::GENERAL_PROTECTION);
}
