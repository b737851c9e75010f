use vcpu_abi::operation::budget;

use super::*;
use crate::host::PhysicalMemory;
use crate::layout::USER_START;
use crate::memory::edit::{Edit, Stale};
use crate::memory::narrowing::Cached;
use crate::memory::space::{Protection, Space};
use crate::memory::temporary;

fn account() -> Ref<Account> {
    Account::try_new(None).unwrap()
}

fn filled(pages: u64) -> Ref<SharedMemory> {
    let shared = SharedMemory::try_new(pages * PAGE, &account()).unwrap();
    let mut done = 0;
    while done < pages * PAGE {
        done += shared.fill_some(done).unwrap();
    }
    shared
}

fn space() -> Space {
    Space::try_new(frames::allocate_zeroed().unwrap(), Payer::NOBODY).unwrap()
}

fn map(space: &Space, at: u64, shared: &SharedMemory, pages: u64) -> Result<u64, MemoryError> {
    space.share_some(at, shared, 0..pages * PAGE, 0, Protection::ReadWrite)
}

fn unmap(space: &Space, at: u64, pages: u64) {
    let mut stale = Stale::new();
    let done = space.with_tables(|tables| tables.edit(at..at + pages * PAGE, Edit::Remove, &mut stale));
    assert_eq!(done, Ok(at + pages * PAGE));
    space.lost_pages(stale.forgotten(&Payer::NOBODY));
}

#[test]
fn sizes_are_whole_pages_and_bounded() {
    let _memory = PhysicalMemory::new(16);
    for bytes in [0, 1, PAGE - 1, PAGE + 1, BYTES_MAX + PAGE, u64::MAX, u64::MAX - PAGE + 1] {
        assert_eq!(SharedMemory::try_new(bytes, &account()).err(), Some(Status::BadArgument), "{bytes:#x}");
    }
    let shared = SharedMemory::try_new(BYTES_MAX, &account()).unwrap();
    assert_eq!(shared.bytes(), BYTES_MAX);
    for (offset, bytes, is_part) in
        [(0, BYTES_MAX, true), (PAGE, BYTES_MAX, false), (BYTES_MAX, 0, true), (u64::MAX, PAGE, false)]
    {
        assert_eq!(shared.contains(offset, bytes), is_part, "{offset:#x}, {bytes:#x}");
    }
}

#[test]
fn two_spaces_see_the_same_zeroed_frames() {
    let _memory = PhysicalMemory::new(256);
    let shared = filled(20);
    let (one, other) = (space(), space());
    for (space, done) in [(&one, 16), (&other, 16)] {
        assert_eq!(map(space, USER_START, &shared, 20), Ok(done * PAGE));
        let rest = space.share_some(USER_START, &shared, 0..20 * PAGE, done * PAGE, Protection::Read);
        assert_eq!(rest, Ok(4 * PAGE));
        assert_eq!(space.own_bytes(), 20 * PAGE);
    }
    for page in 0..20 {
        let frame = one.lookup(USER_START + page * PAGE).unwrap();
        assert_eq!(other.lookup(USER_START + page * PAGE), Ok(frame), "{page}");
        temporary::with_frame(frame, |words| assert!(words.iter().all(|word| word == 0)));
    }
    // A part of it, from its middle.
    assert_eq!(one.share_some(1 << 30, &shared, 3 * PAGE..5 * PAGE, 0, Protection::Read), Ok(2 * PAGE));
    assert_eq!(one.lookup(1 << 30), one.lookup(USER_START + 3 * PAGE));
}

/// In every order of the object's end, an unmapping and the end of an address space.
#[test]
fn frames_are_free_when_the_object_and_the_last_mapping_have_gone() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let _memory = PhysicalMemory::new(256);
        let before = PhysicalMemory::free_frames();
        let (mut shared, one, mut other) = (Some(filled(8)), space(), Some(space()));
        let held = shared.as_ref().unwrap().tables.lookup(0).unwrap();
        map(&one, USER_START, shared.as_ref().unwrap(), 8).unwrap();
        map(other.as_ref().unwrap(), USER_START, shared.as_ref().unwrap(), 8).unwrap();
        for (step, what) in order.into_iter().enumerate() {
            match what {
                0 => drop(shared.take()),
                1 => unmap(&one, USER_START, 8),
                _ => drop(other.take()),
            }
            let taken: Vec<_> = std::iter::from_fn(|| bitmap::take().ok()).collect();
            assert_eq!(taken.contains(&held), step == 2, "{order:?}, after {step}");
            taken.into_iter().for_each(bitmap::free);
        }
        assert_eq!(one.own_bytes(), 0);
        drop(one);
        // The two kernels' roots of `space`.
        assert_eq!(PhysicalMemory::free_frames(), before - 2, "{order:?}");
    }
}

#[test]
fn a_place_that_is_taken_leaves_nothing_behind() {
    let _memory = PhysicalMemory::new(64);
    let (shared, space) = (filled(2), space());
    space.allocate(USER_START + PAGE, PAGE, Protection::ReadWrite).unwrap();
    assert_eq!(map(&space, USER_START, &shared, 2), Err(MemoryError::Occupied));
    assert_eq!(map(&space, 0, &shared, 2), Err(MemoryError::BadRange));
    let frame = shared.tables.lookup(PAGE).unwrap();
    drop(shared);
    // The second page's only holder was the object.
    let taken: Vec<_> = std::iter::from_fn(|| bitmap::take().ok()).collect();
    assert!(taken.contains(&frame));
}

#[test]
fn a_page_has_so_many_mappings_and_no_more() {
    let _memory = PhysicalMemory::new(64);
    let (shared, space) = (filled(1), space());
    for count in 0..255 {
        assert_eq!(map(&space, USER_START + count * PAGE, &shared, 1), Ok(PAGE), "{count}");
    }
    assert_eq!(map(&space, 1 << 30, &shared, 1), Err(MemoryError::NoFrames));
    unmap(&space, USER_START, 1);
    assert_eq!(map(&space, 1 << 30, &shared, 1), Ok(PAGE));
}

#[test]
fn an_object_that_got_no_pages_gives_back_those_it_has() {
    let memory = PhysicalMemory::new(24);
    let before = PhysicalMemory::free_frames();
    let shared = SharedMemory::try_new(64 * PAGE, &account()).unwrap();
    assert_eq!(shared.fill_some(0), Ok(16 * PAGE));
    assert_eq!(shared.fill_some(16 * PAGE), Err(MemoryError::NoFrames));
    drop(shared);
    assert_eq!(PhysicalMemory::free_frames(), before);
    drop(memory);
}

/// Who makes it pays for it, and who maps it for the mapping, as long as each lasts.
#[test]
fn memory_counts_for_its_maker_and_where_it_is_mapped() {
    let _memory = PhysicalMemory::new(128);
    let [maker, other] = [(); 2].map(|()| account());
    let frames = |account: &Account| account.used(budget::MEMORY);
    let shared = SharedMemory::try_new(8 * PAGE, &maker).unwrap();
    assert_eq!(shared.fill_some(0), Ok(8 * PAGE));
    // Four tables have the pages.
    assert_eq!((frames(&maker), maker.used(budget::OBJECTS)), (12, 1));
    let space = Space::try_new(frames::allocate_zeroed().unwrap(), Payer::of(&other)).unwrap();
    map(&space, USER_START, &shared, 8).unwrap();
    assert_eq!((frames(&maker), frames(&other)), (12, 12));
    drop(shared);
    assert_eq!((frames(&maker), frames(&other), maker.used(budget::OBJECTS)), (0, 12, 0));
    let mut stale = Stale::new();
    let range = USER_START..USER_START + 8 * PAGE;
    space.with_tables(|tables| tables.edit(range, Edit::Remove, &mut stale)).unwrap();
    assert_eq!(stale.forgotten(&Payer::of(&other)), 8);
    // The root is left.
    assert_eq!(frames(&other), 1);
    drop(space);
    assert_eq!(frames(&other), 0);
}

#[test]
fn a_budget_that_is_used_up_leaves_no_page_behind() {
    let _memory = PhysicalMemory::new(128);
    let maker = account();
    maker.set_limit(budget::MEMORY, 9);
    let before = PhysicalMemory::free_frames();
    let shared = SharedMemory::try_new(8 * PAGE, &maker).unwrap();
    assert_eq!(shared.fill_some(0), Err(MemoryError::OverBudget));
    drop(shared);
    assert_eq!((maker.used(budget::MEMORY), PhysicalMemory::free_frames()), (0, before));
}
