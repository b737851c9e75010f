//! Leaves that go or change.

use super::super::tables::LARGE_PAGE;
use super::super::tables::tests::{USER, frame, map_range, walk};
use super::*;
use crate::host::PhysicalMemory;
use crate::layout::PAGE;
use crate::memory::frames;

const ALL: Flags = Flags::PRESENT.union(Flags::WRITABLE).union(Flags::USER_ACCESSIBLE);

/// Does all of a change. Returns how many goes it took.
fn edit(tables: &mut Tables, address: u64, bytes: u64, how: Edit) -> Result<u32, MemoryError> {
    let (mut at, mut stale, mut goes) = (address, Stale::new(), 0);
    while at < address + bytes {
        at = tables.edit(at..address + bytes, how, &mut stale)?;
        stale.forgotten(&Payer::NOBODY);
        goes += 1;
    }
    Ok(goes)
}

#[test]
fn what_is_taken_out_is_gone_and_nothing_else() {
    let _memory = PhysicalMemory::new(32);
    let mut tables = Tables::try_new(Payer::NOBODY).unwrap();
    map_range(&tables, 0, 0, 8 * PAGE, ALL).unwrap();
    edit(&mut tables, PAGE, 2 * PAGE, Edit::Remove).unwrap();
    for page in 0..8 {
        let expected = (!(1..=2).contains(&page)).then_some((1, page * PAGE, ALL.bits()));
        assert_eq!(walk(&tables, page * PAGE), expected, "page {page}");
    }
    // And can be mapped again.
    map_range(&tables, PAGE, 0x9000, 2 * PAGE, USER).unwrap();
    assert_eq!(walk(&tables, PAGE), Some((1, 0x9000, USER.bits())));
}

#[test]
fn a_large_page_is_split_where_a_part_of_it_changes() {
    let huge = (ALL | Flags::HUGE_PAGE).bits();
    for (start, bytes) in [(0, PAGE), (PAGE, PAGE), (LARGE_PAGE - PAGE, PAGE), (5 * PAGE, 100 * PAGE)] {
        let _memory = PhysicalMemory::new(32);
        let mut tables = Tables::try_new(Payer::NOBODY).unwrap();
        let (address, to) = (3 * LARGE_PAGE, 7 * LARGE_PAGE);
        map_range(&tables, address - LARGE_PAGE, to - LARGE_PAGE, 3 * LARGE_PAGE, ALL).unwrap();
        edit(&mut tables, address + start, bytes, Edit::Set(USER)).unwrap();
        for page in (0..LARGE_PAGE).step_by(PAGE as usize) {
            let flags = if (start..start + bytes).contains(&page) { USER } else { ALL };
            assert_eq!(walk(&tables, address + page), Some((1, to + page, flags.bits())), "{page:#x}");
        }
        assert_eq!(walk(&tables, address - PAGE), Some((2, to - LARGE_PAGE, huge)));
        assert_eq!(walk(&tables, address + LARGE_PAGE), Some((2, to + LARGE_PAGE, huge)));
    }
}

#[test]
fn whole_large_pages_stay_large() {
    let _memory = PhysicalMemory::new(8);
    let mut tables = Tables::try_new(Payer::NOBODY).unwrap();
    map_range(&tables, 0, 0, 4 * LARGE_PAGE, ALL).unwrap();
    let free = PhysicalMemory::free_frames();
    edit(&mut tables, LARGE_PAGE, 2 * LARGE_PAGE, Edit::Set(USER)).unwrap();
    assert_eq!(walk(&tables, LARGE_PAGE), Some((2, LARGE_PAGE, (USER | Flags::HUGE_PAGE).bits())));
    edit(&mut tables, LARGE_PAGE, 2 * LARGE_PAGE, Edit::Remove).unwrap();
    let rest = [0, 1, 2, 3].map(|page| walk(&tables, page * LARGE_PAGE).is_some());
    assert_eq!(rest, [true, false, false, true]);
    assert_eq!(PhysicalMemory::free_frames(), free);
}

#[test]
fn a_page_without_any_access_is_still_there() {
    let _memory = PhysicalMemory::new(32);
    let mut tables = Tables::try_new(Payer::NOBODY).unwrap();
    map_range(&tables, 0, 0, LARGE_PAGE + 2 * PAGE, ALL).unwrap();
    edit(&mut tables, 0, LARGE_PAGE + 2 * PAGE, Edit::Set(Flags::empty())).unwrap();
    for address in [0, PAGE, LARGE_PAGE, LARGE_PAGE + PAGE] {
        assert_eq!(walk(&tables, address), None, "{address:#x}");
        assert_eq!(tables.map(address, frame(0x9000), USER), Err(MemoryError::Occupied), "{address:#x}");
    }
    // A part of the large page comes back, and the rest of it does not.
    edit(&mut tables, 3 * PAGE, PAGE, Edit::Set(ALL)).unwrap();
    edit(&mut tables, LARGE_PAGE, 2 * PAGE, Edit::Set(USER)).unwrap();
    assert_eq!(walk(&tables, 3 * PAGE), Some((1, 3 * PAGE, ALL.bits())));
    assert_eq!((walk(&tables, 2 * PAGE), walk(&tables, 4 * PAGE)), (None, None));
    assert_eq!(walk(&tables, LARGE_PAGE), Some((1, LARGE_PAGE, USER.bits())));
    // The first page of all, alone.
    edit(&mut tables, 0, PAGE, Edit::Set(ALL)).unwrap();
    edit(&mut tables, 0, PAGE, Edit::Set(Flags::empty())).unwrap();
    assert_eq!(tables.map(0, frame(0x9000), USER), Err(MemoryError::Occupied));
}

#[test]
fn what_is_not_there_cannot_be_changed_but_may_go() {
    let _memory = PhysicalMemory::new(32);
    let mut tables = Tables::try_new(Payer::NOBODY).unwrap();
    let missing = Err(MemoryError::NotMapped);
    assert_eq!(edit(&mut tables, 0, PAGE, Edit::Set(USER)), missing);
    map_range(&tables, PAGE, 0, PAGE, ALL).unwrap();
    assert_eq!(edit(&mut tables, 0, 2 * PAGE, Edit::Set(USER)), missing);
    assert_eq!(edit(&mut tables, PAGE, 2 * PAGE, Edit::Set(USER)), missing);
    assert_eq!(walk(&tables, PAGE), Some((1, 0, USER.bits())), "what comes before it is changed");
    assert_eq!(edit(&mut tables, 1 << 40, 1 << 46, Edit::Remove), Ok(1), "as much as can be, of nothing");
    assert!(edit(&mut tables, 0, 1 << 47, Edit::Remove).is_ok_and(|goes| goes <= 3));
    assert_eq!(walk(&tables, PAGE), None);
}

#[test]
fn it_stops_within_its_range_where_nothing_is_mapped() {
    let _memory = PhysicalMemory::new(32);
    let mut tables = Tables::try_new(Payer::NOBODY).unwrap();
    // The last entry that is passed is one of each level, as tables lead to that page alone.
    tables.map(0, frame(0x9000), USER).unwrap();
    for end in [3 * PAGE, LARGE_PAGE + PAGE, (1 << 30) + PAGE, (1 << 39) + PAGE] {
        let mut stale = Stale::new();
        assert_eq!(tables.edit(end - PAGE..end, Edit::Remove, &mut stale), Ok(end), "{end:#x}");
        assert!(!stale.is_any());
    }
}

#[test]
fn frames_and_empty_tables_are_given_back_when_they_are_forgotten() {
    let _memory = PhysicalMemory::new(64);
    let mut tables = Tables::try_new(Payer::NOBODY).unwrap();
    let before = PhysicalMemory::free_frames();
    let foreign = 0x9000;
    for page in 0..4 {
        tables.map(0x40_0000 + page * PAGE, frames::allocate_zeroed().unwrap(), USER | OWNED).unwrap();
    }
    tables.map(0x80_0000, frame(foreign), USER).unwrap();
    // Two tables that both ranges share, and a page table for each.
    assert_eq!(before - PhysicalMemory::free_frames(), 4 + 2 + 2);
    let mut stale = Stale::new();
    assert!(!stale.is_any());
    assert_eq!(tables.edit(0x40_0000..0x40_2000, Edit::Remove, &mut stale), Ok(0x40_2000));
    assert!(stale.is_any());
    assert_eq!(before - PhysicalMemory::free_frames(), 8, "they may still be used");
    stale.forgotten(&Payer::NOBODY);
    assert!(!stale.is_any());
    assert_eq!(before - PhysicalMemory::free_frames(), 6);
    edit(&mut tables, 0x40_2000, 2 * PAGE, Edit::Remove).unwrap();
    assert_eq!(before - PhysicalMemory::free_frames(), 3);
    edit(&mut tables, 0x80_0000, PAGE, Edit::Remove).unwrap();
    assert_eq!(PhysicalMemory::free_frames(), before);
}

#[test]
fn a_frame_of_anothers_is_not_given_back() {
    let _memory = PhysicalMemory::new(64);
    let mut tables = Tables::try_new(Payer::NOBODY).unwrap();
    let foreign = frames::allocate_zeroed().unwrap();
    let before = PhysicalMemory::free_frames();
    tables.map(0x40_0000, foreign, USER).unwrap();
    edit(&mut tables, 0x40_0000, PAGE, Edit::Remove).unwrap();
    assert_eq!(PhysicalMemory::free_frames(), before);
}

#[test]
fn pages_of_the_tables_own_can_be_left_there() {
    let _memory = PhysicalMemory::new(64);
    let mut tables = Tables::try_new(Payer::NOBODY).unwrap();
    for page in [0, 1, 3] {
        tables.map(page * PAGE, frame(0x9000), USER).unwrap();
    }
    let own = frames::allocate_zeroed().unwrap();
    tables.map(2 * PAGE, own, USER | OWNED).unwrap();
    assert_eq!(edit(&mut tables, 0, 4 * PAGE, Edit::RemoveForeign), Err(MemoryError::NotMapped));
    let mapped = [0, 1, 2, 3].map(|page| tables.lookup(page * PAGE));
    assert_eq!(mapped, [None, None, Some(own), Some(frame(0x9000))], "what comes before it is out");
    edit(&mut tables, 3 * PAGE, PAGE, Edit::RemoveForeign).unwrap();
    edit(&mut tables, 1 << 47, 1 << 47, Edit::RemoveForeign).unwrap();
    assert_eq!(tables.lookup(3 * PAGE), None);
}

#[test]
fn one_go_is_short_and_ends_where_no_more_can_be_noted() {
    let _memory = PhysicalMemory::new(1100);
    let mut tables = Tables::try_new(Payer::NOBODY).unwrap();
    let before = PhysicalMemory::free_frames();
    for page in 0..512 {
        tables.map(page * PAGE, frames::allocate_zeroed().unwrap(), USER | OWNED).unwrap();
    }
    let mut stale = Stale::new();
    let stop = tables.edit(0..LARGE_PAGE, Edit::Remove, &mut stale).unwrap();
    assert!(stop < LARGE_PAGE && stale.is_full(), "{stop:#x}");
    assert_eq!(tables.edit(stop..LARGE_PAGE, Edit::Remove, &mut stale), Ok(stop), "no room");
    stale.forgotten(&Payer::NOBODY);
    edit(&mut tables, stop, LARGE_PAGE - stop, Edit::Remove).unwrap();
    assert_eq!(PhysicalMemory::free_frames(), before);
    // Foreign pages are not noted, but there is an end to one go all the same.
    map_range(&tables, PAGE, 0, 4 * LARGE_PAGE, USER).unwrap();
    let goes = edit(&mut tables, PAGE, 4 * LARGE_PAGE, Edit::Set(ALL)).unwrap();
    assert!((3..16).contains(&goes), "{goes}");
}

#[test]
fn a_split_for_which_there_is_no_frame_changes_nothing() {
    let _memory = PhysicalMemory::new(3);
    let mut tables = Tables::try_new(Payer::NOBODY).unwrap();
    map_range(&tables, 0, 0, LARGE_PAGE, ALL).unwrap();
    assert_eq!(edit(&mut tables, 0, PAGE, Edit::Remove), Err(MemoryError::NoFrames));
    assert_eq!(walk(&tables, 0), Some((2, 0, (ALL | Flags::HUGE_PAGE).bits())));
}

#[test]
fn frames_of_pages_without_access_go_with_the_tables() {
    let _memory = PhysicalMemory::new(16);
    let before = PhysicalMemory::free_frames();
    let mut tables = Tables::try_new(Payer::NOBODY).unwrap();
    tables.map(PAGE, frames::allocate_zeroed().unwrap(), USER | OWNED).unwrap();
    edit(&mut tables, PAGE, PAGE, Edit::Set(Flags::empty())).unwrap();
    drop(tables);
    assert_eq!(PhysicalMemory::free_frames(), before);
}
