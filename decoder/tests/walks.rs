//! Page walks over tables made by an independent builder.

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
        assert!(found.trace.still_holds(&mut machine));
        builder.set(&mut machine, leaf, 0x7654_4067);
        assert!(!found.trace.still_holds(&mut machine));
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
