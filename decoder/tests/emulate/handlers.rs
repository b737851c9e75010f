//! What the processor looks at before it enters a handler, and what the handler finds (APM 2, 8.2 and 8.7 to
//! 8.9).

use super::event::{
    CODE, DATA, GATE, HANDLER, IDT, INNER_TOP, TOP, TSS, USER_CODE, USER_DATA, event, frame, machine,
    put_gate,
};
use super::segment::{GDT, descriptor};
use decoder::{
    Combined, Event, Exception, Mode, Outcome, Segment, SegmentState, Stop, SystemSegment, combine, deliver,
    vector,
};
use decoder_oracle::TestMachine;
use decoder_oracle::page_tables::{Builder, Style};
use vector::{GENERAL_PROTECTION, INVALID_TSS, NOT_PRESENT};

const VECTOR: u8 = 0x30;
const RF: u64 = 1 << 16;
const DONE: Outcome = Outcome::Done { single_step: false };

fn fault(vector: u8, code: u16) -> Outcome {
    Outcome::Exception(Exception { vector, error_code: Some(code.into()), cr2: None })
}

/// The gate of [`VECTOR`] is what is wrong.
fn gate_fault(vector: u8, is_software: bool) -> Outcome {
    fault(vector, u16::from(VECTOR) * 8 + 2 + u16::from(!is_software))
}

fn set_code(machine: &mut TestMachine, attributes: u64) {
    machine.put(GDT + u64::from(CODE), &descriptor(0, 0xf_ffff, attributes).to_le_bytes());
}

fn software() -> Event {
    Event { is_software: true, ..event(VECTOR) }
}

/// Mode, the gate's type, DPL and presence, CPL, whether it is INT n, and how it ends.
#[test]
fn gates() {
    use Mode::{Bits32, Bits64};
    let refused = |is_software| Some(gate_fault(GENERAL_PROTECTION, is_software));
    let absent = Some(gate_fault(NOT_PRESENT, false));
    let task = Some(Outcome::Stop(Stop::TaskSwitch));
    for (mode, kind, cpl, is_software, expected) in [
        (Bits32, 0x8e, 3, false, None),
        (Bits32, 0x8f, 3, false, None),
        (Bits32, 0x86, 3, false, None),
        (Bits32, 0x87, 3, false, None),
        (Bits32, 0x85, 3, false, task),
        (Bits32, 0x84, 3, false, refused(false)),
        (Bits32, 0x89, 3, false, refused(false)),
        (Bits32, 0x8c, 3, false, refused(false)),
        (Bits32, 0x9e, 3, false, refused(false)),
        (Bits32, 0x0e, 3, false, absent),
        (Bits32, 0x0f, 3, false, absent),
        (Bits32, 0x05, 3, false, absent),
        (Bits64, 0x8e, 3, false, None),
        (Bits64, 0x8f, 3, false, None),
        (Bits64, 0x86, 3, false, refused(false)),
        (Bits64, 0x87, 3, false, refused(false)),
        (Bits64, 0x85, 3, false, refused(false)),
        // INT n needs a gate for its level; hardware and exceptions do not.
        (Bits32, 0xee, 3, true, None),
        (Bits32, 0xce, 3, true, refused(true)),
        (Bits32, 0x8e, 0, true, None),
        (Bits32, 0x85, 3, true, refused(true)),
        (Bits32, 0xe5, 3, true, task),
        (Bits64, 0xee, 3, true, None),
        (Bits64, 0xce, 3, true, refused(true)),
        // Before it is looked at whether the gate is there.
        (Bits32, 0x4e, 3, true, refused(true)),
    ] {
        let mut machine = machine(mode, cpl);
        put_gate(&mut machine, VECTOR, kind, 0);
        let outcome = deliver(Event { is_software, ..event(VECTOR) }, &mut machine);
        assert_eq!(outcome, expected.unwrap_or(DONE), "{mode:?} {kind:x} {cpl} {is_software}");
    }
}

/// A gate lies within the table to its last byte.
#[test]
fn limits_of_the_table() {
    for (mode, bytes) in [(Mode::Bits32, 8), (Mode::Bits64, 16)] {
        let end = u16::from(VECTOR) * bytes + bytes;
        for (limit, expected) in [(end - 1, DONE), (end - 2, gate_fault(GENERAL_PROTECTION, false))] {
            let mut machine = machine(mode, 0);
            put_gate(&mut machine, VECTOR, GATE, 0);
            machine.tables[1].limit = limit;
            assert_eq!(deliver(event(VECTOR), &mut machine), expected, "{mode:?} {limit:x}");
        }
    }
}

/// All 64 bits of a long gate's offset.
#[test]
fn offsets_of_long_gates() {
    for (high, expected) in [
        (0x0000_7fff_u64, Ok(0x7fff_0000_4000)),
        (0xffff_8000, Ok(0xffff_8000_0000_4000)),
        (0x8000, Err(fault(GENERAL_PROTECTION, 1))),
    ] {
        let mut machine = machine(Mode::Bits64, 0);
        put_gate(&mut machine, VECTOR, GATE, 0);
        machine.put(IDT + 16 * u64::from(VECTOR) + 8, &high.to_le_bytes());
        let outcome = deliver(event(VECTOR), &mut machine);
        match expected {
            Ok(rip) => assert_eq!((outcome, machine.rip), (DONE, rip)),
            Err(fault) => assert_eq!((outcome, machine.rip), (fault, 0x1000)),
        }
    }
}

/// The handler's code: mode, attributes, CPL, RFLAGS.VM, and the level it runs at, or the fault.
#[test]
fn handlers() {
    use Mode::{Bits32, Bits64};
    let refused = Err(fault(GENERAL_PROTECTION, CODE | 1));
    for (mode, attributes, cpl, is_virtual, expected) in [
        (Bits32, 0xc9b, 3, false, Ok(0)),
        (Bits32, 0xc9b, 0, false, Ok(0)),
        (Bits32, 0xcfb, 3, false, Ok(3)),
        (Bits32, 0xcfb, 0, false, refused),
        (Bits32, 0xc9f, 3, false, Ok(3)),
        (Bits32, 0xcff, 3, false, Ok(3)),
        (Bits32, 0xcff, 0, false, refused),
        (Bits32, 0xc93, 3, false, refused),
        (Bits32, 0xc8b, 3, false, refused),
        (Bits32, 0xc1b, 3, false, Err(fault(NOT_PRESENT, CODE | 1))),
        // Virtual-8086 code goes to level 0, and not to conforming code.
        (Bits32, 0xc9b, 3, true, Ok(0)),
        (Bits32, 0xcfb, 3, true, refused),
        (Bits32, 0xc9f, 3, true, refused),
        // 64-bit code, and of that no code that is 32-bit too.
        (Bits64, 0xa9b, 3, false, Ok(0)),
        (Bits64, 0xafb, 3, false, Ok(3)),
        (Bits64, 0xa9f, 3, false, Ok(3)),
        (Bits64, 0xc9b, 3, false, refused),
        (Bits64, 0x89b, 3, false, refused),
        (Bits64, 0xe9b, 3, false, refused),
    ] {
        let mut machine = machine(mode, cpl);
        set_code(&mut machine, attributes);
        put_gate(&mut machine, VECTOR, GATE, 0);
        machine.rflags |= u64::from(is_virtual) << 17;
        let outcome = deliver(event(VECTOR), &mut machine);
        let context = format!("{mode:?} {attributes:x} {cpl} {is_virtual}");
        match expected {
            Ok(level) => {
                assert_eq!((outcome, machine.rip, machine.cpl), (DONE, HANDLER, level), "{context}");
                assert_eq!(machine.selectors[1], CODE | u16::from(level), "{context}");
            }
            Err(fault) => assert_eq!((outcome, machine.cpl), (fault, cpl), "{context}"),
        }
    }
    let mut machine = machine(Bits32, 0);
    machine.put(IDT + 8 * u64::from(VECTOR), &(HANDLER | 3 << 16 | 0x8e << 40).to_le_bytes());
    assert_eq!(deliver(event(VECTOR), &mut machine), fault(GENERAL_PROTECTION, 1));
}

/// A gate of sixteen bits pushes words.
#[test]
fn small_frames() {
    for (kind, flags) in [(0x86, 0x4003), (0x87, 0x4203)] {
        let mut machine = machine(Mode::Bits32, 3);
        machine.rflags = 0x1_4203;
        put_gate(&mut machine, VECTOR, kind | 0x60, 0);
        assert_eq!(deliver(Event { error_code: Some(0x1_1234), ..event(VECTOR) }, &mut machine), DONE);
        assert_eq!(machine.gprs[4], INNER_TOP - 12);
        let expected = [0x1234, 0x1000, USER_CODE.into(), 0x4203, TOP & 0xffff, USER_DATA.into()];
        assert_eq!(frame(&machine, 2, 6), expected);
        assert_eq!(machine.rflags, flags & !0x4000, "{kind:x}");
    }
}

/// What a handler's flags are, and the interrupted program's on its stack.
#[test]
fn flags() {
    /// TF, IF, NT, RF, VM.
    const CLEARED: u64 = 0x100 | 0x200 | 0x4000 | 0x1_0000;
    let all = 0x25_7fd7 | 0x1_0000;
    for (kind, cleared) in [(0x8e, CLEARED), (0x8f, CLEARED & !0x200)] {
        let mut machine = machine(Mode::Bits64, 0);
        machine.rflags = all;
        put_gate(&mut machine, VECTOR, kind, 0);
        assert_eq!(deliver(event(VECTOR), &mut machine), DONE);
        assert_eq!((machine.rflags, frame(&machine, 8, 3)[2]), (all & !cleared, all), "{kind:x}");
    }
}

/// RF on the stack: of faults alone, as it is their instruction that is executed again (APM 2, 8.2).
#[test]
fn resume_flag() {
    const FAULTS: [u8; 12] = [0, 5, 6, 7, 10, 11, 12, 13, 14, 16, 17, 19];
    for vector in 0..32 {
        for (is_exception, before) in [(false, 0), (true, 0), (false, RF), (true, RF)] {
            let mut machine = machine(Mode::Bits64, 0);
            put_gate(&mut machine, vector, GATE, 0);
            machine.rflags |= before;
            assert_eq!(deliver(Event { is_exception, ..event(vector) }, &mut machine), DONE);
            let is_set = is_exception && FAULTS.contains(&vector) || before != 0;
            assert_eq!(frame(&machine, 8, 3)[2] & RF != 0, is_set, "{vector} {is_exception} {before:x}");
        }
    }
}

/// Each of the seven, from the same level and from an outer one, and the end of the TSS.
#[test]
fn interrupt_stacks() {
    for ist in 1..=7 {
        for (cpl, selector) in [(0, DATA), (3, 0)] {
            let end = 0x1c + 8 * ist + 8;
            for limit in [end - 1, end - 2] {
                let mut machine = machine(Mode::Bits64, cpl);
                let state = SegmentState { base: TSS, limit: limit as u32, attributes: 0x8b };
                machine.system_segments[SystemSegment::Tr as usize] = (0x38, state);
                machine.put(TSS, &[0xff; 0x68]);
                machine.put(TSS + 0x1c + 8 * ist, &INNER_TOP.to_le_bytes());
                put_gate(&mut machine, VECTOR, GATE, ist);
                let outcome = deliver(event(VECTOR), &mut machine);
                if limit < end - 1 {
                    assert_eq!(outcome, fault(INVALID_TSS, 0x39), "{ist} {cpl}");
                    continue;
                }
                assert_eq!((outcome, machine.gprs[4]), (DONE, INNER_TOP - 40), "{ist} {cpl}");
                assert_eq!((machine.selectors[2], machine.cpl), (selector, 0), "{ist} {cpl}");
            }
        }
    }
    // Elsewhere those bits of a gate mean nothing.
    let mut machine = machine(Mode::Bits32, 0);
    put_gate(&mut machine, VECTOR, GATE, 1);
    assert_eq!((deliver(event(VECTOR), &mut machine), machine.gprs[4]), (DONE, TOP - 12));
}

/// Long mode has SS and rSP in every frame, and aligns it; legacy mode does neither.
#[test]
fn frames() {
    for (mode, error_code, words) in [
        (Mode::Bits64, None, 5),
        (Mode::Bits64, Some(7), 6),
        (Mode::Bits32, None, 3),
        (Mode::Bits32, Some(7), 4),
    ] {
        for offset in 0..16 {
            let mut machine = machine(mode, 0);
            put_gate(&mut machine, VECTOR, GATE, 0);
            machine.gprs[4] = TOP - offset;
            assert_eq!(deliver(Event { error_code, ..event(VECTOR) }, &mut machine), DONE);
            let (top, size) =
                if mode == Mode::Bits64 { (!0xf & (TOP - offset), 8) } else { (TOP - offset, 4) };
            assert_eq!(machine.gprs[4], top - words * size, "{mode:?} {error_code:?} {offset}");
            assert_eq!(machine.selectors[2], DATA);
            let found = frame(&machine, size, words);
            assert_eq!(found[0], error_code.map_or(0x1000, u64::from));
        }
    }
}

/// Behind a virtual-8086 program nothing of its segments is left.
#[test]
fn segments_of_virtual_8086_code() {
    let mut machine = machine(Mode::Bits32, 3);
    put_gate(&mut machine, VECTOR, GATE, 0);
    machine.rflags |= 1 << 17;
    assert_eq!(deliver(event(VECTOR), &mut machine), DONE);
    for segment in [Segment::Es, Segment::Ds, Segment::Fs, Segment::Gs] {
        let nothing = SegmentState { base: 0, limit: 0, attributes: 0 };
        assert_eq!(machine.segments[segment as usize], nothing, "{segment:?}");
    }
    // Otherwise they stay.
    let mut machine = self::machine(Mode::Bits32, 3);
    put_gate(&mut machine, VECTOR, GATE, 0);
    let before = machine.segments[3];
    assert_eq!(deliver(event(VECTOR), &mut machine), DONE);
    assert_eq!((machine.selectors[3], machine.segments[3]), (USER_DATA, before));
}

/// Whether something from outside was being delivered is in codes of selectors, and in no others.
#[test]
fn the_external_bit() {
    for (event, external) in [(event(VECTOR), 1), (software(), 0)] {
        let mut machine = machine(Mode::Bits64, 0);
        put_gate(&mut machine, VECTOR, GATE, 0);
        set_code(&mut machine, 0xa1b);
        assert_eq!(deliver(event, &mut machine), fault(NOT_PRESENT, CODE | external));
        // A page fault's code has other bits.
        let mut machine = self::machine(Mode::Bits64, 0);
        Builder::new(&mut machine, Style::Four, 0x10_0000);
        let at = IDT + 16 * u64::from(VECTOR);
        assert_eq!(deliver(event, &mut machine), Outcome::Exception(Exception::page_fault(0, at)));
        machine.tables[1].base = 1 << 63;
        assert_eq!(deliver(event, &mut machine), fault(GENERAL_PROTECTION, external));
    }
}

/// A frame that is not aligned: #AC has no code, whatever was being delivered.
#[test]
fn alignment_checks() {
    let mut machine = machine(Mode::Bits32, 3);
    set_code(&mut machine, 0xcfb);
    put_gate(&mut machine, VECTOR, GATE, 0);
    (machine.gprs[4], machine.rflags) = (TOP - 2, 2 | 1 << 18);
    assert_eq!(deliver(event(VECTOR), &mut machine), Outcome::Exception(Exception::ALIGNMENT_CHECK));
}

/// 64-bit handlers of 32-bit code have all of a stack pointer, above 4 GiB too.
#[test]
fn of_compatibility_mode() {
    let mut machine = machine(Mode::Bits64, 3);
    machine.segments[Segment::Cs as usize].attributes = 0xcfb;
    put_gate(&mut machine, VECTOR, GATE, 0);
    let top = 0x5_0000_b000_u64;
    machine.put(TSS + 4, &top.to_le_bytes());
    assert_eq!((deliver(event(VECTOR), &mut machine), machine.gprs[4]), (DONE, top - 40));
}

/// Real mode: the table's limit, the segment's, and the flags that are cleared.
#[test]
fn vectors_of_real_mode() {
    let real = |offset: u16| {
        let mut machine = machine(Mode::Bits16, 0);
        machine.paging.cr0 &= !1;
        machine.put(IDT + 4 * u64::from(VECTOR), &offset.to_le_bytes());
        machine.put(IDT + 4 * u64::from(VECTOR) + 2, &0x1234_u16.to_le_bytes());
        machine
    };
    let end = u16::from(VECTOR) * 4 + 4;
    for (limit, expected) in [(end - 1, DONE), (end - 2, fault(GENERAL_PROTECTION, 1))] {
        let mut machine = real(0x4000);
        machine.tables[1].limit = limit;
        machine.rflags = 0x5_7fd7;
        assert_eq!(deliver(event(VECTOR), &mut machine), expected, "{limit:x}");
        if expected == DONE {
            // IF, TF, RF and AC.
            assert_eq!((machine.rflags, machine.gprs[4]), (0x7cd7, TOP - 6));
            assert_eq!(frame(&machine, 2, 3), [0x1000, 0x08, 0x7fd7]);
        }
    }
    for (limit, expected) in [(0x4000, DONE), (0x3fff, fault(GENERAL_PROTECTION, 1))] {
        let mut machine = real(0x4000);
        machine.segments[1].limit = limit;
        assert_eq!(deliver(event(VECTOR), &mut machine), expected, "{limit:x}");
    }
}

/// Every exception behind every other one (APM 2, table 8-4 and 8.2.9; SDM 3, tables 6-4 and 6-5).
#[test]
fn double_faults() {
    const CONTRIBUTORY: [u8; 5] = [0, 10, 11, 12, 13];
    for first in 0..32 {
        for second in 0..32 {
            let contributes = CONTRIBUTORY.contains(&second);
            let expected = match first {
                8 if contributes || second == 14 => Combined::Shutdown,
                14 if contributes || second == 14 => Combined::DoubleFault,
                _ if CONTRIBUTORY.contains(&first) && contributes => Combined::DoubleFault,
                _ => Combined::Second,
            };
            let exception = Event { is_exception: true, ..event(first) };
            assert_eq!(combine(exception, second), expected, "{first} {second}");
            assert_eq!(combine(event(first), second), Combined::Second, "{first} {second}");
        }
    }
}
