//! Walks that can't be made, and those that another vCPU disturbs.

use decoder::walk::{Access, Kind, WalkError, translate, walk};
use decoder::{Exception, Mode};
use decoder_oracle::TestMachine;
use decoder_oracle::page_tables::{Builder, Style};

const LINEAR: u64 = 0x1234_5678;
const READ: Access = Access::explicit(Kind::Read, 0, 0);
const WRITE: Access = Access::explicit(Kind::Write, 0, 0);

#[test]
fn addresses_that_are_not_canonical() {
    for (style, first_bad, last_bad) in [
        (Style::Four, 0x8000_0000_0000, 0xffff_7fff_ffff_ffff),
        (Style::Five, 0x0100_0000_0000_0000, 0xfeff_ffff_ffff_ffff),
    ] {
        let mut machine = TestMachine::new(Mode::Bits64);
        Builder::new(&mut machine, style, 0x10_0000);
        let paging = machine.paging;
        for linear in [first_bad, last_bad] {
            assert_eq!(walk(&mut machine, &paging, linear, READ), Err(WalkError::NonCanonical));
        }
        for linear in [first_bad - 1, last_bad + 1] {
            let fault = WalkError::Fault { error_code: 0, address: linear };
            assert_eq!(walk(&mut machine, &paging, linear, READ), Err(fault));
            assert_eq!(fault.page_fault(), Some(Exception::page_fault(0, linear)));
        }
        assert_eq!(WalkError::NonCanonical.page_fault(), None);
    }
}

/// An entry that is not in RAM reads all-ones: its reserved bits are set. An entry of 32-bit paging that maps
/// a small page has none, and means the page at FFFF_F000h.
#[test]
fn tables_outside_ram() {
    let accesses =
        [(READ, 9), (WRITE, 0xb), (Access::explicit(Kind::Write, 3, 0), 0xf), (Access::fetch(0), 0x19)];
    for (style, (access, error_code)) in Style::ALL.into_iter().flat_map(|s| accesses.map(|a| (s, a))) {
        let mut machine = TestMachine::new(Mode::Bits64);
        let mut builder = Builder::new(&mut machine, style, 0x10_0000);
        let path = builder.map(&mut machine, LINEAR, 0x5000, 7, style.levels().len());
        let mut paging = machine.paging;
        paging.efer |= 1 << 11;
        let is_small = style == Style::Bits32;
        // In 32-bit paging nothing forbids execution, so that no error code says that it was one.
        let error_code = if is_small { error_code & !0x10 } else { error_code };
        for (level, &gpa) in path.iter().enumerate().rev() {
            machine.ram.remove(&(gpa >> 12));
            let found = translate(&mut machine, &paging, LINEAR, access);
            if is_small && level == 1 {
                assert_eq!(found.map(|t| (t.gpa, t.user, t.writable)), Ok((0xffff_f678, true, true)));
            } else {
                assert_eq!(found, Err(WalkError::Fault { error_code, address: LINEAR }), "{style:?}");
            }
        }
    }
}

#[test]
fn an_entry_that_never_stays_the_same() {
    let mut machine = TestMachine::new(Mode::Bits64);
    let mut builder = Builder::new(&mut machine, Style::Four, 0x10_0000);
    builder.map(&mut machine, LINEAR, 0x5000, 7, 4);
    let paging = machine.paging;
    machine.interference = u32::MAX;
    let found = translate(&mut machine, &paging, LINEAR, READ);
    // What the other vCPU does to the entry sooner or later changes where it points.
    assert!(matches!(found, Err(WalkError::Contended | WalkError::Fault { .. })), "{found:?}");
}
