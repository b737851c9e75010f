//! Call gates, and the stacks that a TSS names (APM 2, 4.11 and 12.2), with the pointer and the stacks on a
//! device.

use super::far::{
    CODE, DATA, INNER_TOP, TOP, TSS_AT, USER_CODE, USER_DATA, done, machine, put_pointer, put_stack, stacked,
};
use super::segment::{GDT, descriptor};
use decoder::{Exception, Mode, Outcome, Segment, SegmentState, Stop, SystemSegment, vector};
use decoder_oracle::TestMachine;
use vector::{GENERAL_PROTECTION, INVALID_TSS, NOT_PRESENT, STACK};

/// Entries behind those of [`machine`]: code and data of a level, and what leads to the code.
pub(super) const LEVEL_CODE: u16 = 0x60;
pub(super) const LEVEL_DATA: u16 = 0x68;
const LEVEL_GATE: u16 = 0x70;
const LAST: u16 = 0x7f;

/// `call [rbx]` and `jmp [rbx]` with a pointer of six bytes.
const CALL: &[u8] = &[0xff, 0x1b];
const JUMP: &[u8] = &[0xff, 0x2b];

pub(super) fn fault(vector: u8, code: u16) -> Exception {
    Exception { vector, error_code: Some(code.into()), cr2: None }
}

/// A gate to `selector`: offset, parameters, and the byte with its type, DPL and presence.
fn gate(offset: u64, selector: u16, parameters: u64, kind: u64) -> u64 {
    offset & 0xffff
        | u64::from(selector) << 16
        | parameters << 32
        | kind << 40
        | (offset >> 16 & 0xffff) << 48
}

pub(super) fn set_entry(machine: &mut TestMachine, selector: u16, entry: u64) {
    machine.put(GDT + u64::from(selector & !7), &entry.to_le_bytes());
}

/// User code at a gate of DPL 3, of the mode's size, to code of `level`, whose stack is at [`INNER_TOP`].
pub(super) fn before_gate(mode: Mode, level: u64) -> TestMachine {
    let mut machine = machine(mode, 3);
    machine.tables[0].limit = LAST;
    let code = if mode == Mode::Bits64 { 0xa9b } else { 0xc9b };
    set_entry(&mut machine, LEVEL_CODE, descriptor(0, 0xf_ffff, code | level << 5));
    set_entry(&mut machine, LEVEL_DATA, descriptor(0, 0xf_ffff, 0xc93 | level << 5));
    set_entry(&mut machine, LEVEL_GATE, gate(0x1234_4000, LEVEL_CODE, 0, 0xec));
    set_entry(&mut machine, LEVEL_GATE + 8, 0);
    put_pointer(&mut machine, 0, LEVEL_GATE | 3);
    machine
}

fn set_tss(machine: &mut TestMachine, limit: u32, attributes: u16) {
    let state = SegmentState { base: TSS_AT, limit, attributes };
    machine.system_segments[SystemSegment::Tr as usize] = (0x38, state);
    machine.put(TSS_AT, &[0xff; 0x68]);
}

/// Where a TSS has the stack of each level: mode, attributes, bytes of the pointer, place of level 0's, and
/// from one to the next.
const STACKS: [(Mode, u16, u64, u64, u64); 3] = [
    (Mode::Bits64, 0x8b, 8, 4, 8),
    (Mode::Bits32, 0x8b, 4, 4, 8),
    // Of sixteen bits.
    (Mode::Bits32, 0x83, 2, 2, 4),
];

#[test]
fn stacks_of_each_level() {
    for (mode, attributes, bytes, first, step) in STACKS {
        for level in 0..3 {
            let at = first + step * level;
            let selector = LEVEL_DATA | level as u16;
            let place = TSS_AT + at;
            // The selector behind the pointer is the last that is read, where there is one.
            let end = at + bytes + if mode == Mode::Bits64 { 0 } else { 2 };
            for (limit, is_within) in [(end - 1, true), (end - 2, false)] {
                let context = format!("{mode:?} {attributes:x} {level} {limit:x}");
                let mut machine = before_gate(mode, level);
                set_tss(&mut machine, limit as u32, attributes);
                machine.put(place, &INNER_TOP.to_le_bytes()[..bytes as usize]);
                if mode != Mode::Bits64 {
                    machine.put(place + bytes, &selector.to_le_bytes());
                }
                if !is_within {
                    assert_eq!(machine.fault(CALL), fault(INVALID_TSS, 0x38), "{context}");
                    assert_eq!((machine.cpl, machine.gprs[4], machine.rip), (3, TOP, 0x1000), "{context}");
                    continue;
                }
                done(&mut machine, CALL);
                let size = if mode == Mode::Bits64 { 8 } else { 4 };
                assert_eq!((machine.rip, u64::from(machine.cpl)), (0x1234_4000, level), "{context}");
                assert_eq!(machine.selectors[1], LEVEL_CODE | level as u16, "{context}");
                assert_eq!(machine.gprs[4], INNER_TOP - 4 * size, "{context}");
                let null_or_data = if mode == Mode::Bits64 { level as u16 } else { selector };
                assert_eq!(machine.selectors[2], null_or_data, "{context}");
                assert_eq!(machine.segments[2].attributes >> 5 & 3, level as u16, "{context}");
                let frame: Vec<u64> = (0..4).map(|index| stacked(&machine, size, index)).collect();
                assert_eq!(frame, [0x1002, USER_CODE.into(), TOP, USER_DATA.into()], "{context}");
            }
        }
    }
}

/// What the TSS names as a stack has to fit the level: its selector, the segment's attributes, and the fault.
#[test]
fn stacks_that_do_not_fit() {
    for (selector, attributes, expected) in [
        (0, 0xc93, fault(INVALID_TSS, 0)),
        (LEVEL_DATA | 1, 0xcb3, fault(INVALID_TSS, LEVEL_DATA)),
        (LEVEL_DATA, 0xcb3, fault(INVALID_TSS, LEVEL_DATA)),
        (LEVEL_DATA, 0xc91, fault(INVALID_TSS, LEVEL_DATA)),
        (LEVEL_DATA, 0xc9b, fault(INVALID_TSS, LEVEL_DATA)),
        (LEVEL_DATA, 0xc83, fault(INVALID_TSS, LEVEL_DATA)),
        (LEVEL_DATA, 0xc13, fault(STACK, LEVEL_DATA)),
        (LAST + 1, 0xc93, fault(INVALID_TSS, LAST + 1)),
    ] {
        let mut machine = before_gate(Mode::Bits32, 0);
        set_entry(&mut machine, LEVEL_DATA, descriptor(0, 0xf_ffff, attributes));
        machine.put(TSS_AT + 8, &selector.to_le_bytes());
        assert_eq!(machine.fault(CALL), expected, "{selector:x} {attributes:x}");
    }
}

/// A gate of sixteen bits: words are pushed, and the offset has no upper half.
#[test]
fn small_gates() {
    let mut machine = before_gate(Mode::Bits32, 0);
    set_entry(&mut machine, LEVEL_GATE, gate(0x1234_4000, LEVEL_CODE, 3, 0xe4));
    machine.put(TSS_AT + 8, &LEVEL_DATA.to_le_bytes());
    put_stack(&mut machine, &[0x11, 0x22, 0x33], 2);
    done(&mut machine, CALL);
    assert_eq!((machine.rip, machine.cpl, machine.gprs[4]), (0x4000, 0, INNER_TOP - 14));
    let frame: Vec<u64> = (0..7).map(|index| stacked(&machine, 2, index)).collect();
    assert_eq!(frame, [0x1002, USER_CODE.into(), 0x11, 0x22, 0x33, TOP, USER_DATA.into()]);
}

/// A parameter that faults is found before anything is pushed.
#[test]
fn parameters_come_from_the_callers_stack() {
    let mut machine = before_gate(Mode::Bits32, 0);
    set_entry(&mut machine, LEVEL_GATE, gate(0x4000, LEVEL_CODE, 31, 0xec));
    machine.put(TSS_AT + 8, &LEVEL_DATA.to_le_bytes());
    machine.put_device(TOP, &[0; 0x80]);
    put_stack(&mut machine, &core::array::from_fn::<u64, 31, _>(|index| index as u64), 4);
    machine.put_device(INNER_TOP - 0x100, &[0; 0x100]);
    machine.segments[Segment::Ss as usize].limit = TOP as u32 + 31 * 4 - 1;
    let mut outside = machine.clone();
    done(&mut machine, CALL);
    assert_eq!(machine.gprs[4], INNER_TOP - 4 * 35);
    let parameters: Vec<u64> = (2..33).map(|index| stacked(&machine, 4, index)).collect();
    assert_eq!(parameters, (0..31).collect::<Vec<u64>>());
    outside.segments[Segment::Ss as usize].limit -= 1;
    assert_eq!(outside.fault(CALL), Exception::STACK);
    assert!(outside.device_log.iter().all(|access| access.written.is_none()));
}

/// What leads nowhere: mode, the entry, the selector's RPL, CPL, code or jump, and the fault.
#[test]
fn gates_that_are_refused() {
    let gate_fault = |vector| Some(fault(vector, LEVEL_GATE));
    let code_fault = |vector| Some(fault(vector, LEVEL_CODE));
    let to = |selector, kind| gate(0x4000, selector, 0, kind);
    for (mode, entry, rpl, cpl, expected) in [
        // Each type: call gates lead to code, and those to tasks are a stop.
        (Mode::Bits32, to(LEVEL_CODE, 0xe0), 0, 3, gate_fault(GENERAL_PROTECTION)),
        (Mode::Bits32, to(LEVEL_CODE, 0xe1), 0, 3, None),
        (Mode::Bits32, to(LEVEL_CODE, 0xe2), 0, 3, gate_fault(GENERAL_PROTECTION)),
        (Mode::Bits32, to(LEVEL_CODE, 0xe3), 0, 3, gate_fault(GENERAL_PROTECTION)),
        (Mode::Bits32, to(LEVEL_CODE, 0xe5), 0, 3, None),
        (Mode::Bits32, to(LEVEL_CODE, 0xe6), 0, 3, gate_fault(GENERAL_PROTECTION)),
        (Mode::Bits32, to(LEVEL_CODE, 0xe9), 0, 3, None),
        (Mode::Bits32, to(LEVEL_CODE, 0xeb), 0, 3, gate_fault(GENERAL_PROTECTION)),
        (Mode::Bits32, to(LEVEL_CODE, 0xee), 0, 3, gate_fault(GENERAL_PROTECTION)),
        (Mode::Bits64, to(LEVEL_CODE, 0xe1), 0, 3, gate_fault(GENERAL_PROTECTION)),
        (Mode::Bits64, to(LEVEL_CODE, 0xe4), 0, 3, gate_fault(GENERAL_PROTECTION)),
        (Mode::Bits64, to(LEVEL_CODE, 0xe5), 0, 3, gate_fault(GENERAL_PROTECTION)),
        (Mode::Bits64, to(LEVEL_CODE, 0xe9), 0, 3, gate_fault(GENERAL_PROTECTION)),
        // DPL against CPL and RPL, of gates and of tasks; absent ones.
        (Mode::Bits32, to(LEVEL_CODE, 0xcc), 0, 3, gate_fault(GENERAL_PROTECTION)),
        (Mode::Bits32, to(LEVEL_CODE, 0xcc), 3, 2, gate_fault(GENERAL_PROTECTION)),
        (Mode::Bits32, to(LEVEL_CODE, 0xc9), 0, 3, gate_fault(GENERAL_PROTECTION)),
        (Mode::Bits32, to(LEVEL_CODE, 0xc9), 3, 2, gate_fault(GENERAL_PROTECTION)),
        (Mode::Bits32, to(LEVEL_CODE, 0xc9), 2, 2, None),
        (Mode::Bits32, to(LEVEL_CODE, 0x6c), 0, 3, gate_fault(NOT_PRESENT)),
        (Mode::Bits32, to(LEVEL_CODE, 0x69), 0, 3, gate_fault(NOT_PRESENT)),
        // What they lead to.
        (Mode::Bits32, to(3, 0xec), 0, 3, Some(fault(GENERAL_PROTECTION, 0))),
        (Mode::Bits32, to(DATA, 0xec), 0, 3, Some(fault(GENERAL_PROTECTION, DATA))),
        (Mode::Bits32, to(USER_CODE, 0xcc), 2, 2, Some(fault(GENERAL_PROTECTION, USER_CODE & !3))),
        // 32-bit code, from long mode.
        (Mode::Bits64, to(CODE, 0xec), 0, 3, Some(fault(GENERAL_PROTECTION, CODE))),
    ] {
        for code in [CALL, JUMP] {
            let mut machine = before_gate(mode, 0);
            machine.cpl = cpl;
            set_entry(&mut machine, LEVEL_GATE, entry);
            put_pointer(&mut machine, 0, LEVEL_GATE | rpl);
            let expected = expected.map_or(Outcome::Stop(Stop::TaskSwitch), Outcome::Exception);
            assert_eq!(machine.run(code, 1), expected, "{mode:?} {entry:x} {rpl} {cpl} {code:02x?}");
            assert_eq!((machine.rip, machine.gprs[4]), (0x1000, TOP));
        }
    }
    // The code behind a gate that is good: mode, its attributes and limit, the gate's offset.
    for (mode, attributes, limit, offset, expected) in [
        (Mode::Bits32, 0x41b, 0xffff, 0x4000, code_fault(NOT_PRESENT)),
        (Mode::Bits32, 0x49b, 0x3fff, 0x4000, Some(Exception::GENERAL_PROTECTION)),
        (Mode::Bits32, 0x49b, 0x4000, 0x4000, None),
        (Mode::Bits32, 0xe9b, 0xf_ffff, 0x4000, None),
        (Mode::Bits64, 0xe9b, 0xf_ffff, 0x4000, code_fault(GENERAL_PROTECTION)),
        (Mode::Bits64, 0xa1b, 0xf_ffff, 0x4000, code_fault(NOT_PRESENT)),
    ] {
        let mut machine = before_gate(mode, 0);
        set_entry(&mut machine, LEVEL_CODE, descriptor(0, limit, attributes));
        set_entry(&mut machine, LEVEL_GATE, gate(offset, LEVEL_CODE, 0, 0xec));
        machine.put(TSS_AT + 8, &LEVEL_DATA.to_le_bytes());
        match expected {
            Some(exception) => assert_eq!(machine.fault(CALL), exception, "{attributes:x} {limit:x}"),
            None => done(&mut machine, CALL),
        }
    }
}

/// A gate of long mode has 64 bits of offset, which must be canonical.
#[test]
fn long_offsets() {
    for (high, expected) in [(0xffff_ffff_u32, true), (0x7fff, true), (0x8000, false)] {
        let mut machine = before_gate(Mode::Bits64, 0);
        set_entry(&mut machine, LEVEL_GATE + 8, high.into());
        let sign = u64::from(high) << 32;
        if expected {
            done(&mut machine, CALL);
            assert_eq!(machine.rip, sign | 0x1234_4000);
        } else {
            assert_eq!(machine.fault(CALL), Exception::GENERAL_PROTECTION);
        }
    }
}

/// The second half of a long gate lies within the table, too.
#[test]
fn a_long_gate_has_sixteen_bytes() {
    let mut machine = before_gate(Mode::Bits64, 0);
    machine.tables[0].limit = LAST - 1;
    assert_eq!(machine.fault(CALL), fault(GENERAL_PROTECTION, LEVEL_GATE));
}

/// Through a gate at the same level: CPL, the code's attributes, and whether a jump and a call get there.
#[test]
fn gates_that_keep_the_level() {
    for (cpl, attributes, jumps, calls_inner) in [
        (3_u8, 0xcfb, true, false),
        (3, 0xc9f, true, false),
        (3, 0xc9b, false, true),
        (2, 0xc9f, true, false),
        (2, 0xcdb, true, false),
    ] {
        for code in [CALL, JUMP] {
            let mut machine = before_gate(Mode::Bits32, 0);
            machine.cpl = cpl;
            machine.segments[Segment::Ss as usize].attributes = 0xc93 | u16::from(cpl) << 5;
            machine.put(TSS_AT + 8, &LEVEL_DATA.to_le_bytes());
            set_entry(&mut machine, LEVEL_CODE, descriptor(0, 0xf_ffff, attributes));
            // The RPL of the gate's selector means nothing.
            set_entry(&mut machine, LEVEL_GATE, gate(0x1234_4000, LEVEL_CODE | 1, 0, 0xec));
            if code == JUMP && !jumps {
                assert_eq!(machine.fault(code), fault(GENERAL_PROTECTION, LEVEL_CODE));
                continue;
            }
            done(&mut machine, code);
            let level = if code == CALL && calls_inner { 0 } else { cpl };
            assert_eq!((machine.rip, machine.cpl), (0x1234_4000, level), "{cpl} {attributes:x}");
            assert_eq!(machine.selectors[1], LEVEL_CODE | u16::from(level));
            let top = match (code == CALL, calls_inner) {
                (false, _) => TOP,
                (true, false) => TOP - 8,
                (true, true) => INNER_TOP - 16,
            };
            assert_eq!(machine.gprs[4], top, "{cpl} {attributes:x}");
        }
    }
}

/// `jmp` and `call` with the pointer in the instruction; real mode's limit is that of CS as it is.
#[test]
fn pointers_in_the_instruction() {
    let mut machine = machine(Mode::Bits32, 0);
    done(&mut machine, &[0x9a, 0x21, 0x43, 0x65, 0x07, CODE as u8, 0]);
    assert_eq!((machine.rip, machine.selectors[1], machine.gprs[4]), (0x0765_4321, CODE, TOP - 8));
    assert_eq!((stacked(&machine, 4, 0), stacked(&machine, 4, 1)), (0x1007, CODE.into()));
    for limit in [0x4320, 0x4321] {
        let mut machine = self::machine(Mode::Bits16, 0);
        machine.paging.cr0 &= !1;
        machine.segments[1].limit = limit;
        if limit == 0x4321 {
            done(&mut machine, &[0x9a, 0x21, 0x43, 0x34, 0x12]);
            assert_eq!((machine.segments[1].base, machine.gprs[4]), (0x1_2340, TOP - 4));
        } else {
            assert_eq!(machine.fault(&[0x9a, 0x21, 0x43, 0x34, 0x12]), Exception::GENERAL_PROTECTION);
            assert_eq!(machine.gprs[4], TOP);
        }
    }
}
