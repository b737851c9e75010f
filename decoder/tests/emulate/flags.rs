//! What PUSHF shows, what POPF and IRET change, and what becomes of RF and TF (APM 3, POPF and IRET; SDM 2).

use super::far::{self, CODE, DATA, USER_CODE, USER_DATA, put_stack};
use super::frame::{TOP, machine, value};
use decoder::{Exception, Mode, Outcome, Size};
use decoder_oracle::TestMachine;

const TF: u64 = 1 << 8;
const IF: u64 = 1 << 9;
const IOPL: u64 = 3 << 12;
const NT: u64 = 1 << 14;
const RF: u64 = 1 << 16;
const VM: u64 = 1 << 17;
const VIF: u64 = 1 << 19;
const VIP: u64 = 1 << 20;
/// CF, PF, AF, ZF, SF, TF, DF, OF, NT, AC and ID: anybody's.
const ALWAYS: u64 = 0xdd5 | NT | 1 << 18 | 1 << 21;
/// What there is.
const ALL: u64 = ALWAYS | IF | IOPL | RF | VIF | VIP | 2;

const POPF: u8 = 0x9d;

/// Mode and prefix, CPL, IOPL, and what POPF changes of the flags.
#[test]
fn popf() {
    const LOW: u64 = 0xffff;
    for (mode, prefix, size, cpl, iopl, is_virtual, changes) in [
        (Mode::Bits64, &[][..], Size::B8, 0, 0, false, ALWAYS | IF | IOPL),
        (Mode::Bits64, &[], Size::B8, 3, 3, false, ALWAYS | IF),
        (Mode::Bits64, &[], Size::B8, 3, 2, false, ALWAYS),
        (Mode::Bits64, &[], Size::B8, 1, 1, false, ALWAYS | IF),
        (Mode::Bits64, &[0x66], Size::B2, 0, 0, false, (ALWAYS | IF | IOPL) & LOW),
        (Mode::Bits64, &[0x66], Size::B2, 3, 1, false, ALWAYS & LOW),
        (Mode::Bits32, &[], Size::B4, 0, 3, false, ALWAYS | IF | IOPL),
        (Mode::Bits32, &[], Size::B4, 3, 3, false, ALWAYS | IF),
        (Mode::Bits16, &[], Size::B2, 3, 3, true, (ALWAYS | IF) & LOW),
        (Mode::Bits16, &[0x66], Size::B4, 3, 3, true, ALWAYS | IF),
    ] {
        for (flags, popped) in [(2, u64::MAX), (ALL, 0), (ALL & !IF & !TF, IF)] {
            let mut machine = machine(mode);
            machine.put_device(TOP, &popped.to_le_bytes()[..size.bytes() as usize]);
            let before = flags & !IOPL | iopl << 12 | if is_virtual { VM } else { 0 };
            (machine.cpl, machine.rflags) = (cpl, before);
            let outcome = machine.run(&[prefix, &[POPF]].concat(), 1);
            let context = format!("{mode:?} {size:?} {cpl} {iopl} {before:x} {popped:x}");
            assert_eq!(outcome, Outcome::Done { single_step: before & TF != 0 }, "{context}");
            assert_eq!(machine.rflags, before & !(changes | RF) | popped & changes, "{context}");
            assert_eq!(machine.gprs[4], TOP + size.bytes(), "{context}");
        }
    }
}

/// Below IOPL 3, with CR4.VME: IF is VIF, and IOPL stays.
#[test]
fn popf_of_virtual_8086_code() {
    let changes = ALWAYS & 0xffff;
    for iopl in 0..3 {
        for (flags, popped, is_refused) in [
            (2, 0xffff & !TF, false),
            (ALL & !TF & !VIP, 0, false),
            (ALL & !TF & !VIP, IF, false),
            (ALL & !TF, 0, false),
            (2 | VIP, IF, true),
            (2, TF, true),
        ] {
            let mut machine = machine(Mode::Bits16);
            machine.put_device(TOP, &popped.to_le_bytes()[..2]);
            let before = flags & !IOPL | iopl << 12 | VM;
            (machine.cpl, machine.rflags) = (3, before);
            let mut without = machine.clone();
            assert_eq!(without.fault(&[POPF]), Exception::GENERAL_PROTECTION);
            machine.paging.cr4 |= 1;
            assert_eq!(machine.clone().fault(&[0x66, POPF]), Exception::GENERAL_PROTECTION);
            if is_refused {
                assert_eq!(machine.fault(&[POPF]), Exception::GENERAL_PROTECTION);
                assert_eq!((machine.rflags, machine.gprs[4]), (before, TOP));
                continue;
            }
            machine.complete(&[POPF]);
            let interrupts = if popped & IF != 0 { VIF } else { 0 };
            let expected = before & !(changes | RF | VIF) | popped & changes | interrupts;
            assert_eq!((machine.rflags, machine.gprs[4]), (expected, TOP + 2), "{before:x} {popped:x}");
        }
    }
}

/// Flags, mode and prefix, and what is pushed.
#[test]
fn pushf() {
    for (flags, mode, prefix, size, expected) in [
        (ALL, Mode::Bits64, &[][..], Size::B8, ALL & !RF),
        (ALL, Mode::Bits64, &[0x66], Size::B2, ALL & 0xffff),
        (ALL, Mode::Bits32, &[], Size::B4, ALL & !RF),
        (2, Mode::Bits32, &[], Size::B4, 2),
        (ALL & !IOPL, Mode::Bits32, &[], Size::B4, ALL & !RF & !IOPL),
        (ALL | VM, Mode::Bits16, &[], Size::B2, ALL & 0xffff),
        (ALL | VM, Mode::Bits16, &[0x66], Size::B4, ALL & !RF),
        // VIF shows as IF.
        (VM | 0x1002, Mode::Bits16, &[], Size::B2, 0x3002),
        (VM | 0x1002 | IF, Mode::Bits16, &[], Size::B2, 0x3002),
        (VM | 0x2002 | VIF, Mode::Bits16, &[], Size::B2, 0x3202),
        (VM | 0x0002 | VIF | IF, Mode::Bits16, &[], Size::B2, 0x3202),
    ] {
        let mut machine = machine(mode);
        machine.paging.cr4 |= 1;
        machine.rflags = flags & !TF;
        machine.complete(&[prefix, &[0x9c]].concat());
        let at = TOP - size.bytes();
        assert_eq!((machine.gprs[4], value(&machine, at, size)), (at, expected & !TF), "{flags:x} {mode:?}");
    }
    // In virtual-8086 mode below IOPL 3 only that of two bytes.
    let mut machine = machine(Mode::Bits16);
    machine.paging.cr4 |= 1;
    machine.rflags = VM | 2;
    assert_eq!(machine.fault(&[0x66, 0x9c]), Exception::GENERAL_PROTECTION);
}

/// An IRET that stays at its level, with `popped` on the stack.
fn iret(machine: &mut TestMachine, mode: Mode, size: u64, popped: u64, prefix: &[u8]) -> Outcome {
    let (cs, ss) = match (mode, machine.cpl) {
        (Mode::Bits64, 3) => (0x43, USER_DATA),
        (Mode::Bits64, _) => (0x58, DATA),
        (_, 3) => (USER_CODE, USER_DATA),
        _ => (CODE, DATA),
    };
    put_stack(machine, &[0x4321, cs.into(), popped, 0x8000, ss.into()], size);
    machine.run(&[prefix, &[0xcf]].concat(), 1)
}

/// Mode and prefix, CPL, IOPL, and what IRET changes of the flags.
#[test]
fn iret_at_the_same_level() {
    const WORD: u64 = 0xffff;
    let supervisor = ALWAYS | RF | IF | IOPL | VIF | VIP;
    for (mode, prefix, size, cpl, iopl, changes) in [
        (Mode::Bits32, &[][..], 4, 0, 0, supervisor),
        (Mode::Bits32, &[], 4, 3, 3, ALWAYS | RF | IF),
        (Mode::Bits32, &[], 4, 3, 2, ALWAYS | RF),
        (Mode::Bits32, &[], 4, 3, 1, ALWAYS | RF),
        (Mode::Bits32, &[0x66], 2, 0, 0, supervisor & WORD),
        (Mode::Bits32, &[0x66], 2, 3, 3, (ALWAYS | IF) & WORD),
        (Mode::Bits32, &[0x66], 2, 3, 0, ALWAYS & WORD),
        (Mode::Bits64, &[0x48], 8, 0, 0, supervisor),
        (Mode::Bits64, &[0x48], 8, 3, 3, ALWAYS | RF | IF),
        (Mode::Bits64, &[0x48], 8, 3, 0, ALWAYS | RF),
    ] {
        // Legacy IRETD of level 0 would go to virtual-8086 mode.
        let popped_all = if mode == Mode::Bits32 && cpl == 0 { !VM } else { !0 };
        for (flags, popped) in [(2, popped_all), (ALL & !NT, 0), (2 | RF, 0), (2 | TF, 0)] {
            let mut machine = far::machine(mode, cpl);
            let before = flags & !IOPL | iopl << 12;
            machine.rflags = before;
            let outcome = iret(&mut machine, mode, size, popped, prefix);
            let context = format!("{mode:?} {size} {cpl} {iopl} {before:x} {popped:x}");
            assert_eq!(outcome, Outcome::Done { single_step: before & TF != 0 }, "{context}");
            assert_eq!(machine.rflags, before & !(changes | RF) | popped & changes, "{context}");
            let top = if mode == Mode::Bits64 { 0x8000 } else { far::TOP + 3 * size };
            assert_eq!((machine.rip, machine.gprs[4]), (0x4321, top), "{context}");
        }
    }
}

/// The same in real mode and in virtual-8086 mode, which needs an IOPL of 3.
#[test]
fn iret_without_descriptors() {
    for (prefix, size) in [(&[][..], 2), (&[0x66], 4)] {
        for (is_virtual, iopl, changes) in [
            (false, 0, Some(ALWAYS | RF | IF | IOPL)),
            (true, 3, Some(ALWAYS | RF | IF)),
            (true, 2, None),
            (true, 1, None),
        ] {
            for (flags, popped) in [(2, !0), (ALL & !TF, 0)] {
                let mut machine = far::machine(Mode::Bits16, if is_virtual { 3 } else { 0 });
                machine.paging.cr0 = machine.paging.cr0 & !1 | u64::from(is_virtual);
                let before = flags & !IOPL | iopl << 12 | if is_virtual { VM } else { 0 };
                machine.rflags = before;
                put_stack(&mut machine, &[0x4321, 0x1234, popped], size);
                let code = [prefix, &[0xcf]].concat();
                let context = format!("{size} {is_virtual} {iopl} {before:x} {popped:x}");
                let Some(changes) = changes else {
                    assert_eq!(machine.fault(&code), Exception::GENERAL_PROTECTION, "{context}");
                    continue;
                };
                machine.complete(&code);
                let changes = if size == 2 { changes & 0xffff } else { changes };
                assert_eq!(machine.rflags, before & !(changes | RF) | popped & changes, "{context}");
                assert_eq!((machine.rip, machine.gprs[4]), (0x4321, far::TOP + 3 * size), "{context}");
                assert_eq!(machine.segments[1].base, 0x1_2340, "{context}");
            }
        }
    }
}

/// To virtual-8086 mode all flags come from the stack; the offset has sixteen bits.
#[test]
fn iret_to_virtual_8086_mode() {
    for (flags, popped, offset, is_good) in [
        (2, 0xffff_ffff, 0xffff_u64, true),
        (ALL & !NT & !TF, VM, 0xffff, true),
        (2, VM, 0, true),
        (2, VM, 0x1_0000, false),
        (2, VM, 0xffff_ffff, false),
    ] {
        let mut machine = far::machine(Mode::Bits32, 0);
        machine.rflags = flags;
        put_stack(&mut machine, &[offset, 0x10, popped, 0x8000, 1, 2, 3, 4, 5], 4);
        if !is_good {
            assert_eq!(machine.fault(&[0xcf]), Exception::GENERAL_PROTECTION, "{offset:x}");
            assert_eq!((machine.cpl, machine.rflags), (0, flags));
            continue;
        }
        machine.complete(&[0xcf]);
        let changes = ALWAYS | RF | IOPL | IF | VIF | VIP | VM;
        assert_eq!(machine.rflags, flags & !changes | popped & changes, "{flags:x} {popped:x}");
        assert_eq!((machine.rip, machine.cpl), (offset, 3));
    }
}

/// RF ends with every instruction, TF stays and is a step: moves by the short cut and by the general way,
/// near branches, and what the VMM carries out.
#[test]
fn the_end_of_an_instruction() {
    for flags in [0, RF, TF, RF | TF] {
        for code in [&[0x89, 0x03][..], &[0x8b, 0x03], &[0x01, 0x03], &[0xff, 0x23]] {
            let mut machine = TestMachine::new(Mode::Bits64);
            machine.put_device(0x9000, &[0; 8]);
            machine.gprs[3] = 0x9000;
            machine.rflags = 2 | 0x891 | flags;
            let outcome = machine.run(code, 1);
            assert_eq!(outcome, Outcome::Done { single_step: flags & TF != 0 }, "{code:02x?} {flags:x}");
            assert_eq!(machine.rflags & (RF | TF), flags & TF, "{code:02x?}");
            let mut machine = TestMachine::new(Mode::Bits64);
            machine.rflags = 2 | flags;
            assert_eq!(Mode::Bits64.advance(&mut machine, 3), flags & TF != 0);
            assert_eq!((machine.rip, machine.rflags), (0x1003, 2 | flags & TF));
        }
    }
}
