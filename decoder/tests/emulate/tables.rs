//! SMSW, SGDT, SIDT, SLDT, STR, LGDT, LIDT, LLDT and LTR, and which types of system segments LAR and LSL know
//! (APM 2, 4.7.4; APM 3, chapter 4).

use super::descriptors::{LAR, LLDT, LSL, LTR, ZF, set, with_entry};
use super::segment::{AT, DATA, GDT, LAST, LDT, TSS, descriptor, machine, refused};
use decoder::{DescriptorTable, Exception, Mode, SegmentState, SystemSegment, vector};
use vector::{GENERAL_PROTECTION, NOT_PRESENT};

/// The types of system segments that LAR, LSL, LLDT and LTR take, in legacy and in long mode (APM 3).
#[test]
fn types_of_system_segments() {
    const LEGACY: [(&[u8], &[u16]); 4] =
        [(LAR, &[1, 2, 3, 4, 5, 9, 11, 12]), (LSL, &[1, 2, 3, 9, 11]), (LLDT, &[2]), (LTR, &[1, 9])];
    const LONG: [(&[u8], &[u16]); 4] =
        [(LAR, &[2, 9, 11, 12]), (LSL, &[2, 9, 11]), (LLDT, &[2]), (LTR, &[9])];
    for (mode, table) in [(Mode::Bits32, LEGACY), (Mode::Bits64, LONG)] {
        for (code, kinds) in table {
            for kind in 0..16 {
                let mut machine = with_entry(mode, TSS, descriptor(0x7000, 0x67, 0x80 | u64::from(kind)));
                machine.gprs[0] = 0x77;
                let is_look = code == LAR || code == LSL;
                let is_taken = kinds.contains(&kind);
                let context = format!("{mode:?} {code:x?} {kind}");
                if is_look {
                    machine.complete(code);
                    assert_eq!(machine.rflags & ZF != 0, is_taken, "{context}");
                    let found = if code == LAR { 0x8000 | u64::from(kind) << 8 } else { 0x67 };
                    assert_eq!(machine.gprs[0], if is_taken { found } else { 0x77 }, "{context}");
                } else if is_taken {
                    machine.complete(code);
                    let which = if code == LTR { SystemSegment::Tr } else { SystemSegment::Ldtr };
                    let busy = if code == LTR { 2 } else { 0 };
                    let state = SegmentState { base: 0x7000, limit: 0x67, attributes: 0x80 | kind | busy };
                    assert_eq!(machine.system_segments[which as usize], (TSS, state), "{context}");
                    let expected = descriptor(0x7000, 0x67, u64::from(0x80 | kind | busy)).to_le_bytes();
                    assert_eq!(machine.get(GDT + u64::from(TSS), 8), expected, "{context}");
                } else {
                    assert_eq!(machine.fault(code), refused(GENERAL_PROTECTION, TSS), "{context}");
                }
            }
            // Segments of code and data of the same type: LAR and LSL take them all.
            for kind in 0..16 {
                let mut machine = with_entry(mode, DATA, descriptor(0, 0x67, 0x90 | kind));
                if code == LAR || code == LSL {
                    machine.complete(code);
                    assert_ne!(machine.rflags & ZF, 0);
                } else {
                    assert_eq!(machine.fault(code), refused(GENERAL_PROTECTION, DATA));
                }
            }
        }
    }
}

/// LLDT and LTR: absent segments, selectors of the local table, and bases that are not canonical.
#[test]
fn system_segments_that_are_refused() {
    for (code, kind) in [(LLDT, 2), (LTR, 9)] {
        for mode in [Mode::Bits32, Mode::Bits64] {
            let mut machine = with_entry(mode, TSS, descriptor(0, 0x67, kind));
            assert_eq!(machine.fault(code), refused(NOT_PRESENT, TSS), "{mode:?} {code:x?}");
            let mut machine = with_entry(mode, TSS, descriptor(0, 0x67, 0x80 | kind));
            machine.put_device(AT, &[TSS as u8 | 4]);
            let state = SegmentState { base: GDT, limit: LAST.into(), attributes: 0x82 };
            machine.system_segments[SystemSegment::Ldtr as usize] = (LDT, state);
            assert_eq!(machine.fault(code), refused(GENERAL_PROTECTION, TSS | 4), "{mode:?} {code:x?}");
            let mut machine = with_entry(mode, TSS, descriptor(0, 0x67, 0x80 | kind));
            set(&mut machine, TSS + 8, 0x8000);
            if mode == Mode::Bits64 {
                assert_eq!(machine.fault(code), refused(GENERAL_PROTECTION, TSS), "{code:x?}");
            } else {
                machine.complete(code);
            }
        }
    }
}

/// A null selector: LTR refuses it, LLDT takes it for no table, and RPL makes no difference.
#[test]
fn null_selectors() {
    for selector in 0..4 {
        let mut machine = machine(Mode::Bits32, selector);
        assert_eq!(machine.fault(LTR), Exception::GENERAL_PROTECTION);
        machine.system_segments[SystemSegment::Ldtr as usize].1.attributes = 0x82;
        machine.complete(LLDT);
        let nothing = SegmentState { base: 0, limit: 0, attributes: 0 };
        assert_eq!(machine.system_segments[SystemSegment::Ldtr as usize], (selector as u16, nothing));
    }
}

/// The base that LGDT takes, and SGDT stores, by operand size.
#[test]
fn bases_of_tables() {
    for (mode, prefix, stored, loaded) in [
        (Mode::Bits32, &[][..], 4, 0x5678_9abc_u64),
        (Mode::Bits32, &[0x66], 4, 0x78_9abc),
        (Mode::Bits16, &[0x67], 4, 0x78_9abc),
        (Mode::Bits64, &[], 8, 0x7234_5678_9abc),
        (Mode::Bits64, &[0x66], 8, 0x7234_5678_9abc),
    ] {
        for (reg, table) in [(0, 0), (8, 1)] {
            let context = format!("{mode:?} {prefix:x?} {table}");
            let mut machine = machine(mode, 0);
            machine.put_device(AT, &[0xff, 0x0f, 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x72, 0, 0]);
            machine.complete(&[prefix, &[0x0f, 0x01, 0x13 | reg]].concat());
            assert_eq!(machine.tables[table], DescriptorTable { base: loaded, limit: 0xfff }, "{context}");
            machine.put_device(AT, &[0x11; 12]);
            machine.complete(&[prefix, &[0x0f, 0x01, 0x03 | reg]].concat());
            let found: Vec<u8> = (0..12).map(|at| machine.device[&(AT + at)]).collect();
            let mut expected = vec![0xff, 0x0f];
            expected.extend(&loaded.to_le_bytes()[..stored]);
            expected.resize(12, 0x11);
            assert_eq!(found, expected, "{context}");
        }
    }
}

/// What is undefined outside protected mode, and what is not.
#[test]
fn outside_protected_mode() {
    for (code, is_defined) in [
        (&[0x67, 0x0f, 0x01, 0x23][..], true),
        (&[0x67, 0x0f, 0x01, 0x03], true),
        (&[0x67, 0x0f, 0x00, 0x03], false),
        (&[0x67, 0x0f, 0x00, 0x0b], false),
        (&[0x67, 0x0f, 0x00, 0x13], false),
        (&[0x67, 0x0f, 0x00, 0x1b], false),
        (&[0x67, 0x0f, 0x00, 0x23], false),
        (&[0x67, 0x0f, 0x02, 0x03], false),
        (&[0x67, 0x63, 0x03], false),
    ] {
        for (cr0, flags) in [(0, 0), (1, 1 << 17)] {
            let mut machine = machine(Mode::Bits16, 0);
            machine.paging.cr0 = machine.paging.cr0 & !1 | cr0;
            machine.rflags |= flags;
            if is_defined {
                machine.complete(code);
            } else {
                assert_eq!(machine.fault(code), Exception::UNDEFINED_OPCODE, "{code:x?}");
            }
        }
    }
}

/// SMSW, SLDT and STR: what each stores, in two bytes.
#[test]
fn stored_registers() {
    for (code, expected) in [
        (&[0x0f, 0x01, 0x23][..], 0x0033 & !0x2c),
        (&[0x0f, 0x00, 0x03], 0x1234),
        (&[0x0f, 0x00, 0x0b], 0x5678),
    ] {
        let mut machine = machine(Mode::Bits32, !0);
        machine.system_segments[SystemSegment::Ldtr as usize].0 = 0x1234;
        machine.system_segments[SystemSegment::Tr as usize].0 = 0x5678;
        machine.complete(code);
        let found: Vec<u8> = (0..4).map(|at| machine.device[&(AT + at)]).collect();
        assert_eq!(found, [expected as u8, (expected >> 8) as u8, 0xff, 0xff], "{code:x?}");
    }
}
