//! Modes, page sizes, accessed and dirty bits.

use decoder::Mode;
use decoder::walk::{Access, Kind, WalkError, translate, walk};
use decoder_oracle::TestMachine;
use decoder_oracle::page_tables::{Builder, Style};

const LINEAR: u64 = 0x1234_5678;
const READ: Access = Access::explicit(Kind::Read, 0, 0);
const WRITE: Access = Access::explicit(Kind::Write, 0, 0);

#[test]
fn small_pages_in_every_mode() {
    for style in Style::ALL {
        let mut machine = TestMachine::new(Mode::Bits64);
        let mut builder = Builder::new(&mut machine, style, 0x10_0000);
        let path = builder.map(&mut machine, LINEAR, 0x7654_3000, 7, style.levels().len());
        let paging = machine.paging;
        let found = walk(&mut machine, &paging, LINEAR, WRITE).unwrap();
        assert_eq!((found.gpa, found.page_bytes), (0x7654_3678, 4096), "{style:?}");
        let trace: Vec<u64> = found.trace.entries().iter().map(|entry| entry.0).collect();
        assert_eq!(trace, path, "{style:?}");
        assert_eq!(builder.get(&machine, path[path.len() - 1]), 0x7654_3007, "{style:?}: nothing is marked");
    }
}

#[test]
fn accessed_and_dirty_bits() {
    for style in Style::ALL {
        let mut machine = TestMachine::new(Mode::Bits64);
        let mut builder = Builder::new(&mut machine, style, 0x10_0000);
        let path = builder.map(&mut machine, LINEAR, 0x7654_3000, 7, style.levels().len());
        let paging = machine.paging;
        translate(&mut machine, &paging, LINEAR, READ).unwrap();
        let leaf = path[path.len() - 1];
        assert_eq!(builder.get(&machine, leaf), 0x7654_3027, "{style:?}");
        let root = builder.get(&machine, path[0]) & 0x20;
        assert_eq!(root, if style == Style::Pae { 0 } else { 0x20 }, "{style:?}");
        let found = translate(&mut machine, &paging, LINEAR, WRITE).unwrap();
        assert_eq!(builder.get(&machine, leaf), 0x7654_3067, "{style:?}");
        // What is set stays.
        translate(&mut machine, &paging, LINEAR, WRITE).unwrap();
        assert_eq!(builder.get(&machine, leaf), 0x7654_3067, "{style:?}");
        let tables = path.iter().rev().skip(1);
        assert!(
            tables.map(|&table| builder.get(&machine, table)).all(|table| table & 0x40 == 0),
            "{style:?}"
        );
        for &(gpa, value) in found.trace.entries() {
            assert_eq!(value, builder.get(&machine, gpa), "{style:?}: the trace has the marks");
        }
    }
}

#[test]
fn absent_entries_fault_with_the_access() {
    for style in Style::ALL {
        let mut machine = TestMachine::new(Mode::Bits64);
        Builder::new(&mut machine, style, 0x10_0000);
        let paging = machine.paging;
        for (access, error_code) in [
            (READ, 0),
            (WRITE, 2),
            (Access::explicit(Kind::Read, 3, 0), 4),
            (Access::explicit(Kind::Write, 3, 0), 6),
            (Access::implicit(Kind::Write), 2),
            (Access::fetch(0), if style == Style::Bits32 { 0 } else { 0x10 }),
        ] {
            let expected = Err(WalkError::Fault { error_code, address: LINEAR });
            assert_eq!(walk(&mut machine, &paging, LINEAR, access), expected, "{style:?} {access:?}");
        }
    }
}

#[test]
fn large_pages() {
    for (style, depth, physical, bytes) in [
        (Style::Bits32, 1, 0x8040_0000, 1 << 22),
        (Style::Pae, 2, 0x8020_0000, 1 << 21),
        (Style::Four, 3, 0x8020_0000, 1 << 21),
        (Style::Four, 2, 0x1_c000_0000, 1 << 30),
        (Style::Five, 4, 0x8020_0000, 1 << 21),
        (Style::Five, 3, 0x1_c000_0000, 1 << 30),
    ] {
        let mut machine = TestMachine::new(Mode::Bits64);
        let mut builder = Builder::new(&mut machine, style, 0x10_0000);
        builder.map(&mut machine, LINEAR, physical, 0x87, depth);
        let paging = machine.paging;
        let found = walk(&mut machine, &paging, LINEAR, WRITE).unwrap();
        assert_eq!((found.gpa, found.page_bytes), (physical | (LINEAR & (bytes - 1)), bytes), "{style:?}");
        assert_eq!(found.trace.entries().len(), depth, "{style:?}");
    }
}

#[test]
fn bits_39_to_32_of_a_large_page_in_32_bit_paging() {
    let mut machine = TestMachine::new(Mode::Bits32);
    let mut builder = Builder::new(&mut machine, Style::Bits32, 0x10_0000);
    let path = builder.map(&mut machine, LINEAR, 0x8040_0000 | 0xa5 << 13, 0x87, 1);
    let mut paging = machine.paging;
    assert_eq!(walk(&mut machine, &paging, LINEAR, READ).unwrap().gpa, 0xa5_8040_0000 | (LINEAR & 0x3f_ffff));
    // Without CR4.PSE the same entry points to a table.
    paging.cr4 &= !0x10;
    let table = builder.get(&machine, path[0]) & 0xffff_f000;
    machine.put(table, &[0; 4096]);
    builder.set(&mut machine, table + (LINEAR >> 12 & 0x3ff) * 4, 0x5000 | 1);
    assert_eq!(walk(&mut machine, &paging, LINEAR, READ).unwrap().gpa, 0x5678);
}

#[test]
fn without_paging_addresses_are_physical() {
    let mut machine = TestMachine::new(Mode::Bits16);
    let paging = machine.paging;
    let found = translate(&mut machine, &paging, 0x1_2345_6789, WRITE).unwrap();
    assert_eq!((found.gpa, found.page_bytes), (0x2345_6789, 4096));
    assert!(found.writable && found.user && found.executable);
    assert!(found.trace.entries().is_empty());
}

#[test]
fn a_probe_marks_nothing() {
    let mut machine = TestMachine::new(Mode::Bits64);
    let mut builder = Builder::new(&mut machine, Style::Four, 0x10_0000);
    let path = builder.map(&mut machine, LINEAR, 0x5000, 7, 4);
    let paging = machine.paging;
    translate(&mut machine, &paging, LINEAR, WRITE.probe()).unwrap();
    translate(&mut machine, &paging, LINEAR, WRITE.probe().probe()).unwrap();
    assert!(path.iter().all(|&entry| builder.get(&machine, entry) & 0x60 == 0));
}

#[test]
fn an_entry_that_changes_is_read_again() {
    let mut machine = TestMachine::new(Mode::Bits64);
    let mut builder = Builder::new(&mut machine, Style::Four, 0x10_0000);
    let path = builder.map(&mut machine, LINEAR, 0x5000, 7, 4);
    let paging = machine.paging;
    // Another vCPU adds 100h to an entry just before its accessed bit is set: bit 8 is free for software.
    machine.interference = 1;
    assert_eq!(translate(&mut machine, &paging, LINEAR, READ).unwrap().gpa, 0x5678);
    assert_eq!(builder.get(&machine, path[0]) & 0x120, 0x120);
}
