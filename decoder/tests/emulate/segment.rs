//! Segment registers and descriptor tables, with the operand on a device.

use decoder::{Exception, Mode, Segment, SegmentState, SystemSegment, vector};
use decoder_oracle::TestMachine;

pub(super) const AT: u64 = 0x9000;
pub(super) const GDT: u64 = 0x3000;

/// Entries of the global table: data, read-only data, code that can be read, data of level 3, absent data, a
/// TSS, a local table. In legacy mode each has eight bytes.
pub(super) const DATA: u16 = 0x08;
pub(super) const READ_ONLY: u16 = 0x10;
const CODE: u16 = 0x18;
pub(super) const USER: u16 = 0x20;
pub(super) const ABSENT: u16 = 0x28;
pub(super) const TSS: u16 = 0x30;
pub(super) const LDT: u16 = 0x38;
pub(super) const LAST: u16 = 0x3f;

/// A descriptor: base, limit, attributes.
pub(super) fn descriptor(base: u64, limit: u64, attributes: u64) -> u64 {
    (limit & 0xffff)
        | (base & 0xff_ffff) << 16
        | (attributes & 0xff) << 40
        | (limit >> 16 & 0xf) << 48
        | (attributes >> 8 & 0xf) << 52
        | (base >> 24 & 0xff) << 56
}

pub(super) fn machine(mode: Mode, operand: u64) -> TestMachine {
    let mut machine = TestMachine::new(mode);
    let table = [
        0,
        descriptor(0x12_3456, 0x5_0fff, 0x492),
        descriptor(0, 0xf_ffff, 0xc91),
        descriptor(0, 0xf_ffff, 0xc9b),
        descriptor(0, 0xf_ffff, 0xcf3),
        descriptor(0, 0xf_ffff, 0xc13),
        descriptor(0x7000, 0x67, 0x89),
        descriptor(0x8000, 0x0f, 0x82),
    ];
    for (at, entry) in (GDT..).step_by(8).zip(table) {
        machine.put(at, &entry.to_le_bytes());
    }
    machine.tables[0] = decoder::DescriptorTable { base: GDT, limit: LAST };
    machine.put_device(AT, &operand.to_le_bytes());
    machine.put_device(AT + 8, &[0; 8]);
    machine.gprs[3] = AT;
    machine
}

pub(super) fn refused(vector: u8, selector: u16) -> Exception {
    Exception { vector, error_code: Some(selector.into()), cr2: None }
}

#[test]
fn a_load_takes_all_of_the_descriptor() {
    let mut machine = machine(Mode::Bits32, DATA.into());
    // MOV DS, [rbx]
    machine.complete(&[0x8e, 0x1b]);
    assert_eq!(machine.selectors[Segment::Ds as usize], DATA);
    let expected = SegmentState { base: 0x12_3456, limit: 0x5_0fff, attributes: 0x493 };
    assert_eq!(machine.segments[Segment::Ds as usize], expected);
    // The accessed bit.
    assert_eq!(machine.get(GDT + u64::from(DATA) + 5, 1), [0x93]);
}

/// MOV to DS and SS: selector, CPL, and the exception, or none.
#[test]
fn what_is_refused() {
    use vector::{GENERAL_PROTECTION as GP, NOT_PRESENT as NP, STACK as SS};
    let ds = &[0x8e, 0x1b][..];
    let ss = &[0x8e, 0x13][..];
    for (code, selector, cpl, expected) in [
        (ds, DATA, 0, None),
        (ds, 0, 0, None),
        (ds, READ_ONLY, 0, None),
        (ds, CODE, 0, None),
        (ds, DATA | 3, 0, Some(refused(GP, DATA))),
        (ds, DATA, 3, Some(refused(GP, DATA))),
        (ds, USER | 3, 3, None),
        (ds, ABSENT, 0, Some(refused(NP, ABSENT))),
        (ds, TSS, 0, Some(refused(GP, TSS))),
        (ds, 0x40, 0, Some(refused(GP, 0x40))),
        (ds, 0x0c, 0, Some(refused(GP, 0x0c))),
        (ss, DATA, 0, None),
        (ss, 0, 0, Some(refused(GP, 0))),
        (ss, READ_ONLY, 0, Some(refused(GP, READ_ONLY))),
        (ss, CODE, 0, Some(refused(GP, CODE))),
        (ss, USER | 3, 0, Some(refused(GP, USER))),
        (ss, USER | 3, 3, None),
        (ss, ABSENT, 0, Some(refused(SS, ABSENT))),
    ] {
        let mut machine = machine(Mode::Bits32, selector.into());
        machine.cpl = cpl;
        let before = machine.selectors;
        match expected {
            None => machine.complete(code),
            Some(exception) => {
                assert_eq!(machine.fault(code), exception, "{code:02x?} {selector:x} {cpl}");
                assert_eq!(machine.selectors, before);
            }
        }
    }
}

#[test]
fn real_mode_has_bases() {
    let mut machine = machine(Mode::Bits16, 0x1234);
    machine.paging.cr0 &= !1;
    machine.complete(&[0x67, 0x8e, 0x1b]);
    assert_eq!(machine.segments[Segment::Ds as usize].base, 0x1_2340);
    assert_eq!(machine.segments[Segment::Ds as usize].limit, u32::MAX);
}

#[test]
fn a_store_has_two_bytes() {
    let mut machine = machine(Mode::Bits64, !0);
    machine.selectors[Segment::Gs as usize] = 0x2b;
    machine.complete(&[0x48, 0x8c, 0x2b]);
    assert_eq!((machine.device[&AT], machine.device[&(AT + 2)]), (0x2b, 0xff));
}

/// Each register by its number in the encoding.
#[test]
fn registers() {
    for number in 0..6 {
        let mut machine = machine(Mode::Bits32, 0);
        machine.selectors = [0x10, 0x11, 0x12, 0x13, 0x14, 0x15];
        machine.complete(&[0x8c, 0x03 | number << 3]);
        assert_eq!(machine.device[&AT], 0x10 + number);
        // None loads CS, and SS has rules of its own.
        if number == 1 || number == 2 {
            continue;
        }
        machine.put_device(AT, &DATA.to_le_bytes());
        machine.complete(&[0x8e, 0x03 | number << 3]);
        let mut expected = [0x10, 0x11, 0x12, 0x13, 0x14, 0x15];
        expected[usize::from(number)] = DATA;
        assert_eq!(machine.selectors, expected);
    }
}

/// LES, and POP to DS with the stack on the device.
#[test]
fn other_loads() {
    let mut machine = machine(Mode::Bits32, u64::from(DATA) << 32 | 0x1122_3344);
    machine.complete(&[0xc4, 0x03]);
    assert_eq!((machine.gprs[0], machine.selectors[0]), (0x1122_3344, DATA));
    let mut machine = self::machine(Mode::Bits32, DATA.into());
    machine.gprs[4] = AT;
    machine.complete(&[0x1f]);
    assert_eq!((machine.gprs[4], machine.selectors[Segment::Ds as usize]), (AT + 4, DATA));
}

#[test]
fn descriptor_tables() {
    let mut machine = machine(Mode::Bits64, 0x1234_5678_9abc_0fff);
    machine.put_device(AT + 8, &[0; 2]);
    machine.complete(&[0x0f, 0x01, 0x1b]);
    assert_eq!(machine.tables[1], decoder::DescriptorTable { base: 0x1234_5678_9abc, limit: 0x0fff });
    machine.put_device(AT, &[0; 16]);
    machine.complete(&[0x0f, 0x01, 0x0b]);
    let stored: Vec<u8> = (0..10).map(|at| machine.device[&(AT + at)]).collect();
    assert_eq!(stored, [0xff, 0x0f, 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12, 0, 0]);
    // A base that is not canonical, and user code.
    machine.put_device(AT, &[0xff; 16]);
    machine.put_device(AT + 8, &[0x7f, 0x7f]);
    assert_eq!(machine.fault(&[0x0f, 0x01, 0x1b]), Exception::GENERAL_PROTECTION);
    machine.cpl = 3;
    machine.put_device(AT, &[0; 16]);
    assert_eq!(machine.fault(&[0x0f, 0x01, 0x1b]), Exception::GENERAL_PROTECTION);
    assert_eq!(machine.fault(&[0x0f, 0x01, 0x13]), Exception::GENERAL_PROTECTION);
}

/// CR4.UMIP hides system structures from user code.
#[test]
fn user_mode_instruction_prevention() {
    for code in
        [&[0x0f, 0x01, 0x03], &[0x0f, 0x01, 0x0b], &[0x0f, 0x01, 0x23], &[0x0f, 0, 0x03], &[0x0f, 0, 0x0b]]
    {
        let mut machine = machine(Mode::Bits64, 0);
        machine.cpl = 3;
        machine.complete(code);
        machine.paging.cr4 |= 1 << 11;
        assert_eq!(machine.fault(code), Exception::GENERAL_PROTECTION, "{code:02x?}");
        machine.cpl = 0;
        machine.complete(code);
    }
}

#[test]
fn task_and_local_table_registers() {
    let mut machine = machine(Mode::Bits32, TSS.into());
    machine.complete(&[0x0f, 0x00, 0x1b]);
    let (selector, state) = machine.system_segments[SystemSegment::Tr as usize];
    assert_eq!((selector, state.base, state.limit, state.attributes), (TSS, 0x7000, 0x67, 0x8b));
    assert_eq!(machine.get(GDT + u64::from(TSS) + 5, 1), [0x8b]);
    // It is busy now.
    assert_eq!(machine.fault(&[0x0f, 0x00, 0x1b]), refused(vector::GENERAL_PROTECTION, TSS));
    machine.put_device(AT, &LDT.to_le_bytes());
    machine.complete(&[0x0f, 0x00, 0x13]);
    assert_eq!(machine.system_segments[SystemSegment::Ldtr as usize].1.base, 0x8000);
    machine.complete(&[0x0f, 0x00, 0x03]);
    assert_eq!(machine.device[&AT], LDT as u8);
    // No null TSS; a null local table is none.
    machine.put_device(AT, &[0; 2]);
    assert_eq!(machine.fault(&[0x0f, 0x00, 0x1b]), Exception::GENERAL_PROTECTION);
    machine.complete(&[0x0f, 0x00, 0x13]);
    machine.cpl = 3;
    assert_eq!(machine.fault(&[0x0f, 0x00, 0x13]), Exception::GENERAL_PROTECTION);
    machine.rflags |= 1 << 17;
    assert_eq!(machine.fault(&[0x0f, 0x00, 0x13]), Exception::UNDEFINED_OPCODE);
}

/// LAR, LSL, VERR, VERW: selector, CPL, and what they find; ZF says whether.
#[test]
fn looks_at_selectors() {
    const ZF: u64 = 0x40;
    for (code, selector, cpl, expected) in [
        (&[0x0f, 0x02, 0x03][..], DATA, 0, Some(0x0045_9200)),
        (&[0x0f, 0x03, 0x03], DATA, 0, Some(0x5_0fff)),
        (&[0x0f, 0x03, 0x03], READ_ONLY, 0, Some(0xffff_ffff)),
        (&[0x0f, 0x02, 0x03], DATA, 3, None),
        (&[0x0f, 0x02, 0x03], 0, 0, None),
        (&[0x0f, 0x00, 0x23], READ_ONLY, 0, Some(7)),
        (&[0x0f, 0x00, 0x2b], READ_ONLY, 0, None),
        (&[0x0f, 0x00, 0x2b], DATA, 0, Some(7)),
        (&[0x0f, 0x00, 0x23], DATA, 3, None),
    ] {
        let mut machine = machine(Mode::Bits32, selector.into());
        (machine.cpl, machine.gprs[0]) = (cpl, 7);
        machine.complete(code);
        let found = (machine.rflags & ZF != 0).then_some(machine.gprs[0]);
        assert_eq!(found, expected, "{code:02x?} {selector:x} {cpl}");
    }
}

#[test]
fn arpl() {
    for (before, wanted, after, flag) in [(0x10, 3, 0x13, 0x40), (0x13, 1, 0x13, 0), (0x11, 1, 0x11, 0)] {
        let mut machine = machine(Mode::Bits32, before);
        machine.gprs[0] = wanted;
        machine.complete(&[0x63, 0x03]);
        assert_eq!((u64::from(machine.device[&AT]), machine.rflags & 0x40), (after, flag));
    }
    let mut real = machine(Mode::Bits16, 0);
    real.paging.cr0 &= !1;
    assert_eq!(real.fault(&[0x67, 0x63, 0x03]), Exception::UNDEFINED_OPCODE);
}
