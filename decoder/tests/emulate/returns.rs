//! Far returns: where they may go, and what the outer level finds (APM 2, 4.11; APM 3, RET Far).

use super::far::{CODE, TOP, USER_CODE, USER_DATA, done, machine, put_stack};
use super::gates::{LEVEL_CODE, LEVEL_DATA, before_gate, fault, set_entry};
use super::segment::descriptor;
use decoder::{Exception, Mode, Outcome, Segment, vector};
use vector::{GENERAL_PROTECTION, NOT_PRESENT, STACK};

/// RETF 8 from level 0 to 3: the frame's place, what is read above it, and both stacks.
#[test]
fn returns_take_parameters_off_both_stacks() {
    for (mode, code, size) in [
        (Mode::Bits32, &[0xca, 8, 0][..], 4),
        (Mode::Bits32, &[0x66, 0xca, 8, 0], 2),
        (Mode::Bits64, &[0x48, 0xca, 8, 0], 8),
    ] {
        let mut machine = machine(mode, 0);
        let target = if mode == Mode::Bits64 { 0x43 } else { USER_CODE };
        machine.put_device(TOP, &[0; 0x40]);
        let frame = [0x4321, target.into()];
        put_stack(&mut machine, &frame, size);
        let above = TOP + 2 * size + 8;
        machine.put_device(above, &0x8000_u64.to_le_bytes()[..size as usize]);
        machine.put_device(above + size, &u64::from(USER_DATA).to_le_bytes()[..size as usize]);
        done(&mut machine, code);
        assert_eq!((machine.rip, machine.cpl, machine.selectors[1]), (0x4321, 3, target), "{size}");
        assert_eq!((machine.gprs[4], machine.selectors[2]), (0x8008, USER_DATA), "{size}");
    }
    // At the same level, and in real mode.
    for (is_real, selector) in [(false, CODE), (true, 0x1234)] {
        let mut machine = machine(Mode::Bits32, 0);
        machine.paging.cr0 &= !u64::from(is_real);
        put_stack(&mut machine, &[0x4321, selector.into()], 4);
        done(&mut machine, &[0xca, 8, 0]);
        assert_eq!((machine.rip, machine.gprs[4]), (0x4321, TOP + 16), "{is_real}");
    }
}

/// Where a far return may go: CPL, the selector on the stack, the code's attributes, and the fault.
#[test]
fn returns_that_are_refused() {
    let refused = Some(fault(GENERAL_PROTECTION, LEVEL_CODE));
    for (cpl, selector, attributes, expected) in [
        (0, 0, 0xc9b, Some(Exception::GENERAL_PROTECTION)),
        (0, 3, 0xc9b, Some(Exception::GENERAL_PROTECTION)),
        (0, LEVEL_CODE, 0xc9b, None),
        (0, LEVEL_CODE, 0xc93, refused),
        (0, LEVEL_CODE, 0xc1b, Some(fault(NOT_PRESENT, LEVEL_CODE))),
        (0, LEVEL_CODE, 0xcbb, refused),
        (0, LEVEL_CODE | 3, 0xcbb, refused),
        (2, LEVEL_CODE, 0xc9b, refused),
        (2, LEVEL_CODE | 1, 0xcbb, refused),
        (2, LEVEL_CODE | 1, 0xc9f, refused),
        (2, LEVEL_CODE | 2, 0xcdb, None),
        (2, LEVEL_CODE | 2, 0xc9f, None),
        (2, LEVEL_CODE | 2, 0xcdf, None),
        (2, LEVEL_CODE | 2, 0xcff, refused),
    ] {
        let mut machine = before_gate(Mode::Bits32, 0);
        machine.cpl = cpl;
        machine.segments[Segment::Ss as usize].attributes = 0xc93 | u16::from(cpl) << 5;
        set_entry(&mut machine, LEVEL_CODE, descriptor(0, 0xf_ffff, attributes));
        put_stack(&mut machine, &[0x4321, selector.into()], 4);
        let outcome = expected.map_or(Outcome::Done { single_step: false }, Outcome::Exception);
        assert_eq!(machine.run(&[0xcb], 1), outcome, "{cpl} {selector:x} {attributes:x}");
    }
}

/// 64-bit code that is 32-bit too: none in long mode. IRETD of 64-bit code does not go to virtual-8086 mode.
#[test]
fn returns_of_64_bit_code() {
    for (attributes, expected) in [(0xa9b, None), (0xe9b, Some(fault(GENERAL_PROTECTION, LEVEL_CODE)))] {
        for (code, size) in [(&[0xcf][..], 4), (&[0x48, 0xcf], 8), (&[0x48, 0xcb], 8)] {
            let mut machine = before_gate(Mode::Bits64, 0);
            machine.cpl = 0;
            set_entry(&mut machine, LEVEL_CODE, descriptor(0, 0xf_ffff, attributes));
            put_stack(&mut machine, &[0x4321, LEVEL_CODE.into(), 0x2_0002, 0x8000, 0], size);
            match expected {
                None => done(&mut machine, code),
                Some(fault) => assert_eq!(machine.fault(code), fault, "{code:02x?} {attributes:x}"),
            }
            assert_eq!((machine.cpl, machine.rflags), (0, 2), "{code:02x?} {attributes:x}");
        }
    }
}

/// The stack that an outer level gets: its selector, the segment's attributes, and the fault.
#[test]
fn stacks_to_return_to() {
    for (mode, selector, attributes, expected) in [
        (Mode::Bits32, LEVEL_DATA | 3, 0xcf3, None),
        (Mode::Bits32, 0, 0xcf3, Some(fault(GENERAL_PROTECTION, 0))),
        (Mode::Bits32, LEVEL_DATA, 0xcf3, Some(fault(GENERAL_PROTECTION, LEVEL_DATA))),
        (Mode::Bits32, LEVEL_DATA | 3, 0xcd3, Some(fault(GENERAL_PROTECTION, LEVEL_DATA))),
        (Mode::Bits32, LEVEL_DATA | 3, 0xc73, Some(fault(STACK, LEVEL_DATA))),
        // 64-bit code of level 3 has to have one.
        (Mode::Bits64, 3, 0xcf3, Some(fault(GENERAL_PROTECTION, 0))),
    ] {
        let mut machine = before_gate(mode, 0);
        machine.cpl = 0;
        machine.segments[Segment::Ss as usize].attributes = 0xc93;
        set_entry(&mut machine, LEVEL_DATA, descriptor(0, 0xf_ffff, attributes));
        let (code, size, target) =
            if mode == Mode::Bits64 { (&[0x48, 0xcb][..], 8, 0x43) } else { (&[0xcb][..], 4, USER_CODE) };
        put_stack(&mut machine, &[0x4321, target.into(), 0x8000, selector.into()], size);
        let outcome = expected.map_or(Outcome::Done { single_step: false }, Outcome::Exception);
        assert_eq!(machine.run(code, 1), outcome, "{mode:?} {selector:x} {attributes:x}");
    }
}

/// 64-bit code of levels 1 and 2 may have a null stack segment of its own level.
#[test]
fn null_stacks_of_64_bit_code() {
    for (level, selector, is_good) in [(1_u16, 1, true), (2, 2, true), (2, 1, false), (2, 0, false)] {
        let mut machine = before_gate(Mode::Bits64, level.into());
        machine.cpl = 0;
        put_stack(&mut machine, &[0x4321, (LEVEL_CODE | level).into(), 0x8000, selector], 8);
        if is_good {
            done(&mut machine, &[0x48, 0xcb]);
            assert_eq!((machine.selectors[2], machine.segments[2].attributes), (level, level << 5));
        } else {
            assert_eq!(machine.fault(&[0x48, 0xcb]), Exception::GENERAL_PROTECTION);
        }
    }
}

/// What data segments hold after a return to level 3: attributes before, and whether they stay.
#[test]
fn segments_after_a_return() {
    for (attributes, stays) in
        [(0xc93, false), (0xcd3, false), (0xcf3, true), (0xc9b, false), (0xc9f, true), (0xc97, false)]
    {
        for segment in [Segment::Es, Segment::Ds, Segment::Fs, Segment::Gs] {
            let mut machine = machine(Mode::Bits32, 0);
            put_stack(&mut machine, &[0x4321, USER_CODE.into(), 0x8000, USER_DATA.into()], 4);
            for state in &mut machine.segments {
                state.attributes = 0xc93;
            }
            machine.selectors = [0x77; 6];
            machine.segments[segment as usize].attributes = attributes;
            done(&mut machine, &[0xcb]);
            let found = (machine.selectors[segment as usize], machine.segments[segment as usize].attributes);
            assert_eq!(found, if stays { (0x77, attributes) } else { (0, 0) }, "{segment:?} {attributes:x}");
        }
    }
}
