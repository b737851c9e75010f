//! Where descriptors are looked for, what they say, and which instruction takes which (APM 2, 4.7 and 4.8).

use super::segment::{AT, DATA, GDT, LAST, LDT, TSS, descriptor, machine, refused};
use decoder::{DescriptorTable, Exception, Mode, Outcome, Segment, SegmentState, SystemSegment, vector};
use decoder_oracle::TestMachine;
use decoder_oracle::page_tables::{Builder, Style};
use vector::GENERAL_PROTECTION;

pub(super) const ZF: u64 = 0x40;
const LOCAL_TABLE: u64 = 0x4000;

/// `mov ds, [rbx]`, `lldt [rbx]`, `ltr [rbx]`, `lar eax, [rbx]`, `lsl eax, [rbx]`, `verr [rbx]`,
/// `verw [rbx]`.
const MOV_DS: &[u8] = &[0x8e, 0x1b];
pub(super) const LLDT: &[u8] = &[0x0f, 0x00, 0x13];
pub(super) const LTR: &[u8] = &[0x0f, 0x00, 0x1b];
pub(super) const LAR: &[u8] = &[0x0f, 0x02, 0x03];
pub(super) const LSL: &[u8] = &[0x0f, 0x03, 0x03];
const VERR: &[u8] = &[0x0f, 0x00, 0x23];
const VERW: &[u8] = &[0x0f, 0x00, 0x2b];

pub(super) fn set(machine: &mut TestMachine, selector: u16, entry: u64) {
    machine.put(GDT + u64::from(selector & !7), &entry.to_le_bytes());
}

/// A machine whose entry at `selector` is this, with zeros behind it, and where `selector` is the operand.
pub(super) fn with_entry(mode: Mode, selector: u16, entry: u64) -> TestMachine {
    let mut machine = machine(mode, selector.into());
    machine.tables[0].limit = LAST + 8;
    set(&mut machine, selector, entry);
    set(&mut machine, selector + 8, 0);
    machine
}

/// Base, limit and granularity, each bit in its place.
#[test]
fn fields() {
    for bit in 0..32 {
        let mut machine = with_entry(Mode::Bits32, DATA, descriptor(1 << bit, 0, 0x493));
        machine.complete(MOV_DS);
        let expected = SegmentState { base: 1 << bit, limit: 0, attributes: 0x493 };
        assert_eq!(machine.segments[Segment::Ds as usize], expected);
    }
    for bit in 0..20 {
        for (granularity, limit) in [(0, 1_u32 << bit), (0x800, 1 << (bit + 12) | 0xfff)] {
            let entry = descriptor(0, 1 << bit, 0x493 | granularity);
            let mut machine = with_entry(Mode::Bits32, DATA, entry);
            machine.complete(MOV_DS);
            assert_eq!(machine.segments[Segment::Ds as usize].limit, limit, "{bit} {granularity:x}");
            let mut machine = with_entry(Mode::Bits32, DATA, entry);
            machine.complete(LSL);
            assert_eq!(machine.gprs[0], limit.into(), "{bit} {granularity:x}");
        }
    }
    // Of long mode's system segments the base has 64 bits.
    let mut machine = with_entry(Mode::Bits64, TSS, descriptor(0x8765_4321, 0x67, 0x89));
    set(&mut machine, TSS + 8, 0x7fff);
    machine.complete(LTR);
    assert_eq!(machine.system_segments[SystemSegment::Tr as usize].1.base, 0x7fff_8765_4321);
}

/// The last byte of a descriptor lies within its table; the null selector is none, and has no table.
#[test]
fn limits() {
    for (mode, code, selector, end) in [
        (Mode::Bits32, MOV_DS, DATA, DATA + 7),
        (Mode::Bits64, MOV_DS, DATA, DATA + 7),
        (Mode::Bits32, LTR, TSS, TSS + 7),
        (Mode::Bits64, LTR, TSS, TSS + 15),
    ] {
        for (limit, is_within) in [(end, true), (end - 1, false)] {
            let entry = if code == LTR { descriptor(0, 0x67, 0x89) } else { descriptor(0, 0, 0x493) };
            let mut machine = with_entry(mode, selector, entry);
            machine.tables[0].limit = limit;
            if is_within {
                machine.complete(code);
            } else {
                assert_eq!(machine.fault(code), refused(GENERAL_PROTECTION, selector), "{mode:?} {code:x?}");
            }
        }
    }
    let mut machine = with_entry(Mode::Bits32, 4, 0);
    machine.put_device(AT, &[4]);
    assert_eq!(machine.fault(MOV_DS), refused(GENERAL_PROTECTION, 4));
}

/// Selectors with the bit of the local table: LDTR's base and limit, and whether there is a table.
#[test]
fn the_local_table() {
    for (limit, attributes, expected) in [
        (0x17, 0x82, None),
        (0x16, 0x82, Some(refused(GENERAL_PROTECTION, 0x14))),
        (0x17, 0x02, Some(refused(GENERAL_PROTECTION, 0x14))),
    ] {
        let mut machine = machine(Mode::Bits32, 0x14);
        machine.put(LOCAL_TABLE + 0x10, &descriptor(0x5000, 0xff, 0x493).to_le_bytes());
        let state = SegmentState { base: LOCAL_TABLE, limit, attributes };
        machine.system_segments[SystemSegment::Ldtr as usize] = (LDT, state);
        match expected {
            None => {
                machine.complete(MOV_DS);
                assert_eq!(machine.segments[Segment::Ds as usize].base, 0x5000);
            }
            Some(fault) => assert_eq!(machine.fault(MOV_DS), fault, "{limit:x} {attributes:x}"),
        }
    }
}

/// LAR, LSL, VERR, VERW: the segment's attributes, CPL, RPL, and which of them see it.
#[test]
fn who_sees_a_segment() {
    for (attributes, cpl, rpl, looks, reads, writes) in [
        (0xc93, 0, 0, true, true, true),
        (0xc91, 0, 0, true, true, false),
        (0xc99, 0, 0, true, false, false),
        (0xc9b, 0, 0, true, true, false),
        (0xc93, 0, 1, false, false, false),
        (0xc93, 1, 0, false, false, false),
        (0xcb3, 1, 1, true, true, true),
        (0xcb3, 1, 2, false, false, false),
        (0xcb3, 0, 1, true, true, true),
        (0xcf3, 3, 3, true, true, true),
        // Conforming code is seen from everywhere.
        (0xc9f, 3, 3, true, true, false),
        (0xc9d, 3, 3, true, false, false),
        (0xc9b, 3, 3, false, false, false),
        // Absent ones too.
        (0xc13, 0, 0, true, true, true),
    ] {
        for (code, expected) in [(LAR, looks), (LSL, looks), (VERR, reads), (VERW, writes)] {
            let mut machine = with_entry(Mode::Bits32, DATA, descriptor(0, 0xf_ffff, attributes));
            machine.put_device(AT, &[DATA as u8 | rpl]);
            machine.cpl = cpl;
            machine.rflags = 2 | if expected { 0x895 } else { 0x8d5 };
            machine.complete(code);
            let flags = 2 | 0x895 | if expected { ZF } else { 0 };
            assert_eq!(machine.rflags, flags, "{attributes:x} {cpl} {rpl} {code:x?}");
            let found = match code {
                LAR => attributes << 8 & 0xff00 | attributes >> 8 << 20 | 0xf_0000,
                LSL => 0xffff_ffff,
                _ => 0,
            };
            assert_eq!(machine.gprs[0], if expected { found } else { 0 }, "{attributes:x} {code:x?}");
        }
    }
}

/// Loads of DS: the segment's attributes, CPL, RPL, and whether it is taken.
#[test]
fn who_loads_a_segment() {
    for (attributes, cpl, rpl, is_taken) in [
        (0xc93, 0, 0, true),
        (0xc93, 1, 0, false),
        (0xc93, 0, 1, false),
        (0xcb3, 1, 1, true),
        (0xcb3, 2, 1, false),
        (0xcb3, 0, 2, false),
        (0xc9f, 3, 3, true),
        (0xc9d, 3, 3, false),
        (0xc97, 3, 3, false),
        (0xc99, 0, 0, false),
        (0xc82, 0, 0, false),
    ] {
        let mut machine = with_entry(Mode::Bits32, DATA, descriptor(0, 0xf_ffff, attributes));
        machine.put_device(AT, &[DATA as u8 | rpl]);
        machine.cpl = cpl;
        if is_taken {
            machine.complete(MOV_DS);
            let expected = (DATA | u16::from(rpl), attributes as u16 | 1);
            let ds = Segment::Ds as usize;
            assert_eq!((machine.selectors[ds], machine.segments[ds].attributes), expected);
        } else {
            let fault = refused(GENERAL_PROTECTION, DATA);
            assert_eq!(machine.fault(MOV_DS), fault, "{attributes:x} {cpl} {rpl}");
        }
    }
}

/// An accessed or busy bit is set in RAM only over the byte that was checked, and written to a device.
#[test]
fn type_bits() {
    let entry = descriptor(0, 0xf_ffff, 0xc92);
    let mut machine = with_entry(Mode::Bits32, DATA, entry);
    machine.interference = 1;
    assert_eq!(machine.run(MOV_DS, 1), Outcome::Retry);
    let mut machine = with_entry(Mode::Bits32, DATA, entry);
    machine.tables[0] = DescriptorTable { base: 0x2_0000, limit: 0x1f };
    machine.put_device(0x2_0000 + u64::from(DATA), &entry.to_le_bytes());
    machine.complete(MOV_DS);
    let written: Vec<_> = machine.device_log.iter().filter(|access| access.written.is_some()).collect();
    assert_eq!((written.len(), written[0].address, written[0].written), (1, 0x2_000d, Some(0x93)));
    // A bit that is set already is not written.
    let mut machine = with_entry(Mode::Bits32, DATA, entry | 1 << 40);
    machine.interference = 1;
    machine.complete(MOV_DS);
}

/// Tables are the processor's to read, at any privilege level, across pages and with SMAP and RFLAGS.AC.
#[test]
fn tables_are_read_as_a_supervisor() {
    for (rights, cr4, expected) in [
        (3, 0, None),
        (7, 0, None),
        (7, 1 << 21, Some(Exception::page_fault(1, 0x50_0ffc))),
        (0, 0, Some(Exception::page_fault(0, 0x50_0ffc))),
    ] {
        let mut machine = machine(Mode::Bits32, 0x0b);
        let mut tables = Builder::new(&mut machine, Style::Pae, 0x10_0000);
        tables.map(&mut machine, AT, AT, 7, 3);
        tables.map(&mut machine, 0x50_0000, 0x1_0000, rights, 3);
        tables.map(&mut machine, 0x50_1000, 0x1_2000, rights, 3);
        let entry = descriptor(0x12_3456, 0xf_ffff, 0xcf2).to_le_bytes();
        machine.put(0x1_0ffc, &entry[..4]);
        machine.put(0x1_2000, &entry[4..]);
        machine.tables[0] = DescriptorTable { base: 0x50_0ff4, limit: 0xf };
        machine.paging.cr4 |= cr4;
        (machine.cpl, machine.rflags) = (3, 2 | 1 << 18);
        match expected {
            None => {
                machine.complete(MOV_DS);
                assert_eq!(machine.segments[Segment::Ds as usize].base, 0x12_3456);
                assert_eq!(machine.get(0x1_2001, 1), [0xf3]);
            }
            Some(fault) => assert_eq!(machine.fault(MOV_DS), fault, "{rights} {cr4:x}"),
        }
    }
}

/// Outside long mode the addresses of tables wrap at 4 GiB, within a descriptor too.
#[test]
fn tables_at_the_end_of_addresses() {
    for (base, at) in [(0xffff_f000_u64, 0x500_u64), (0xffff_ffff, DATA.into())] {
        let mut machine = with_entry(Mode::Bits32, DATA, 0);
        let linear = base.wrapping_add(DATA.into()) & 0xffff_ffff;
        machine.put(linear, &descriptor(at, 0, 0x493).to_le_bytes());
        machine.tables[0] = DescriptorTable { base, limit: 0xf };
        machine.complete(MOV_DS);
        assert_eq!(machine.segments[Segment::Ds as usize].base, at);
    }
    let mut machine = with_entry(Mode::Bits32, DATA, 0);
    let entry = descriptor(0x1234, 0, 0x493).to_le_bytes();
    machine.put(0xffff_fffc, &entry[..4]);
    machine.put(0, &entry[4..]);
    machine.tables[0] = DescriptorTable { base: 0xffff_fffc - u64::from(DATA), limit: 0xf };
    machine.complete(MOV_DS);
    assert_eq!(machine.segments[Segment::Ds as usize].base, 0x1234);
}

/// MOV SS and POP SS hold a single step back; other segments do not.
#[test]
fn single_steps() {
    for (code, is_held) in
        [(&[0x8e, 0x13][..], true), (&[0x17], true), (&[0x8e, 0x1b], false), (&[0x1f], false)]
    {
        let mut machine = machine(Mode::Bits32, DATA.into());
        (machine.gprs[4], machine.rflags) = (AT, 0x102);
        let outcome = machine.run(code, 1);
        assert_eq!(outcome, Outcome::Done { single_step: !is_held }, "{code:x?}");
        assert_eq!(machine.rip, 0x1000 + code.len() as u64);
    }
}
