use super::*;
use crate::host::PhysicalMemory;

pub(in crate::memory) const USER: Flags = Flags::PRESENT.union(Flags::USER_ACCESSIBLE);

/// What maps an address: level, frame, flags; walked here, not by what is tested.
pub(in crate::memory) fn walk(tables: &Tables, address: u64) -> Option<(u32, u64, u64)> {
    let mut table = tables.root();
    for level in (1..=4u32).rev() {
        let index = (address >> (3 + 9 * level)) as usize & 511;
        let entry = temporary::with_frame(table, |words| words.at(index).get());
        let (frame, flags) = (entry & 0x000f_ffff_ffff_f000, entry & !0x000f_ffff_ffff_f000);
        if entry & 1 == 0 {
            return None;
        }
        if level == 1 || entry & 1 << 7 != 0 {
            return Some((level, frame, flags));
        }
        table = PhysFrame::containing_address(PhysAddr::new(frame));
    }
    None
}

/// Maps all of a range.
pub(in crate::memory) fn map_range(
    tables: &Tables,
    address: u64,
    to: u64,
    bytes: u64,
    flags: Flags,
) -> Result<(), MemoryError> {
    let mut done = 0;
    while done < bytes {
        done += tables.map_some(address + done, to + done, bytes - done, flags)?;
    }
    Ok(())
}

pub(in crate::memory) fn frame(address: u64) -> PhysFrame {
    PhysFrame::containing_address(PhysAddr::new(address))
}

#[test]
fn a_page_is_mapped_where_and_as_it_was_said() {
    let _memory = PhysicalMemory::new(32);
    let tables = Tables::try_new(Payer::NOBODY).unwrap();
    for (address, to) in
        [(0x1000, 0x7000), (0x1f_f000, 0x8000), (0x7fff_ffff_e000, 0x9000), (1 << 39, 0xa000)]
    {
        tables.map(address, frame(to), USER | Flags::NO_EXECUTE).unwrap();
        assert_eq!(walk(&tables, address), Some((1, to, (USER | Flags::NO_EXECUTE).bits())), "{address:#x}");
        assert_eq!(tables.lookup(address + 0xfff), Some(frame(to)));
        assert_eq!(walk(&tables, address + PAGE), None);
        assert_eq!(tables.lookup(address + PAGE), None);
    }
}

#[test]
fn what_is_mapped_stays() {
    let _memory = PhysicalMemory::new(32);
    let tables = Tables::try_new(Payer::NOBODY).unwrap();
    tables.map(0x1000, frame(0x7000), USER).unwrap();
    assert_eq!(tables.map(0x1000, frame(0x8000), USER), Err(MemoryError::Occupied));
    assert_eq!(map_range(&tables, 0, LARGE_PAGE, LARGE_PAGE, USER), Err(MemoryError::Occupied));
    map_range(&tables, LARGE_PAGE, LARGE_PAGE, LARGE_PAGE, USER).unwrap();
    assert_eq!(tables.map(LARGE_PAGE + PAGE, frame(0x8000), USER), Err(MemoryError::Occupied));
    assert_eq!(tables.lookup(0x1000), Some(frame(0x7000)));
    assert_eq!(tables.lookup(LARGE_PAGE), None, "no 4 KiB page");
}

#[test]
fn large_pages_where_both_addresses_allow() {
    let _memory = PhysicalMemory::new(32);
    let tables = Tables::try_new(Payer::NOBODY).unwrap();
    map_range(&tables, LARGE_PAGE - PAGE, 3 * LARGE_PAGE - PAGE, LARGE_PAGE + 2 * PAGE, USER).unwrap();
    let huge = (USER | Flags::HUGE_PAGE).bits();
    for (address, expected) in [
        (LARGE_PAGE - 2 * PAGE, None),
        (LARGE_PAGE - PAGE, Some((1, 3 * LARGE_PAGE - PAGE, USER.bits()))),
        (LARGE_PAGE, Some((2, 3 * LARGE_PAGE, huge))),
        (2 * LARGE_PAGE, Some((1, 4 * LARGE_PAGE, USER.bits()))),
        (2 * LARGE_PAGE + PAGE, None),
    ] {
        assert_eq!(walk(&tables, address), expected, "{address:#x}");
    }
}

#[test]
fn long_ranges_only_where_large_pages_do() {
    for (address, to, bytes, expected) in [
        (PAGE, 2 * PAGE, SMALL_PAGES_MAX + PAGE, Err(MemoryError::BadRange)),
        (PAGE, 2 * PAGE, SMALL_PAGES_MAX, Ok(())),
        (PAGE, LARGE_PAGE + PAGE, 1 << 40, Ok(())),
    ] {
        assert_eq!(check_length(address, to, bytes), expected, "{address:#x} to {to:#x}, {bytes:#x}");
    }
}

#[test]
fn so_much_is_mapped_in_one_go_and_no_more() {
    let _memory = PhysicalMemory::new(32);
    let tables = Tables::try_new(Payer::NOBODY).unwrap();
    let many = u64::from(LEAVES) * PAGE;
    assert_eq!(tables.map_some(PAGE, 0, 2 * many, USER), Ok(many));
    assert_eq!(tables.map_some(PAGE + many, many, many, USER), Ok(many));
    assert_eq!(walk(&tables, PAGE + 2 * many), None);
}

#[test]
fn the_kernels_half_is_shared_and_the_tables_see_themselves() {
    let _memory = PhysicalMemory::new(8);
    let kernel = frames::allocate_zeroed().unwrap();
    temporary::with_frame(kernel, |words| (0..512).for_each(|i| words.at(i).set((i as u64 * 0x1_0000) | 1)));
    let mut tables = Tables::try_new(Payer::NOBODY).unwrap();
    tables.share_kernel(kernel);
    let own = tables.root().start_address().as_u64() | 1 << 63 | 3;
    temporary::with_frame(tables.root(), |words| {
        assert!(words.iter().take(256).all(|word| word == 0));
        for (index, word) in words.iter().enumerate().skip(256) {
            let expected = if index == 510 { own } else { (index as u64 * 0x1_0000) | 1 };
            assert_eq!(word, expected, "entry {index}");
        }
    });
}

#[test]
fn frames_that_are_owned_go_with_the_tables_and_no_others() {
    let _memory = PhysicalMemory::new(64);
    let foreign = frames::allocate_zeroed().unwrap();
    let before = PhysicalMemory::free_frames();
    {
        let tables = Tables::try_new(Payer::NOBODY).unwrap();
        for page in 0..5 {
            let owned = frames::allocate_zeroed().unwrap();
            tables.map(0x40_0000 + page * PAGE, owned, USER | OWNED).unwrap();
        }
        tables.map(1 << 40, foreign, USER).unwrap();
        map_range(&tables, LARGE_PAGE * 8, 0, LARGE_PAGE, USER | OWNED).unwrap();
        // Root, two times two tables, and page tables for two ranges; five pages.
        assert_eq!(before - PhysicalMemory::free_frames(), 1 + 2 + 2 + 2 + 5);
    }
    assert_eq!(PhysicalMemory::free_frames(), before);
}

#[test]
fn tables_without_the_kernels_half_own_the_upper_one_too() {
    let _memory = PhysicalMemory::new(64);
    let before = PhysicalMemory::free_frames();
    let tables = Tables::try_new(Payer::NOBODY).unwrap();
    for address in [0, 1 << 46, 1 << 47, (1 << 48) - PAGE] {
        tables.map(address, frame(0x7000), USER).unwrap();
        assert_eq!(walk(&tables, address), Some((1, 0x7000, USER.bits())), "{address:#x}");
    }
    assert_eq!(before - PhysicalMemory::free_frames(), 1 + 4 * 3);
    drop(tables);
    assert_eq!(PhysicalMemory::free_frames(), before);
}

#[test]
fn tables_that_run_out_of_frames_say_so_and_lose_none() {
    let _memory = PhysicalMemory::new(3);
    {
        let tables = Tables::try_new(Payer::NOBODY).unwrap();
        assert_eq!(tables.map(0x1000, frame(0x7000), USER), Err(MemoryError::NoFrames));
    }
    assert_eq!(PhysicalMemory::free_frames(), 3);
    assert_eq!(Tables::try_new(Payer::NOBODY).map(drop), Ok(()));
}
