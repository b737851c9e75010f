use super::*;
use crate::host::PhysicalMemory;
use crate::memory::tables::LARGE_PAGE;
use crate::memory::temporary;

fn with_space<R>(pages: usize, test: impl FnOnce(&Space) -> R) -> R {
    let _memory = PhysicalMemory::new(pages);
    let kernel = frames::allocate_zeroed().unwrap();
    let space = Space::try_new(kernel, Payer::NOBODY).unwrap();
    test(&space)
}

#[test]
fn only_whole_pages_of_the_users_half() {
    let bad = Err(MemoryError::BadRange);
    for (address, bytes, expected) in [
        (USER_START, PAGE, Ok(())),
        (USER_END - PAGE, PAGE, Ok(())),
        (USER_START, 0, bad),
        (USER_START - PAGE, PAGE, bad),
        (0, PAGE, bad),
        (USER_START + 1, PAGE, bad),
        (USER_START, PAGE + 1, bad),
        (USER_END - PAGE, 2 * PAGE, bad),
        (USER_END, PAGE, bad),
        (1 << 47, PAGE, bad),
        (u64::MAX - PAGE + 1, PAGE, bad),
        (0xffff_8000_0000_0000, PAGE, bad),
        (USER_START, u64::MAX - PAGE + 1, bad),
    ] {
        assert_eq!(check(address, bytes), expected, "{address:#x}, {bytes:#x}");
        let mapped = with_space(16, |space| space.map_foreign(address, 0x5000, bytes, Protection::Read));
        assert_eq!(mapped, expected, "{address:#x}, {bytes:#x}");
    }
}

#[test]
fn nothing_is_both_writable_and_executable() {
    let (write, no_execute) = (Flags::WRITABLE, Flags::NO_EXECUTE);
    for (protection, expected) in [
        (Protection::Read, no_execute),
        (Protection::ReadWrite, write | no_execute),
        (Protection::ReadExecute, Flags::empty()),
    ] {
        let flags = protection.flags();
        assert_eq!(flags & (write | no_execute), expected, "{protection:?}");
        assert!(flags.contains(Flags::PRESENT | Flags::USER_ACCESSIBLE), "{protection:?}");
        assert!(!flags.contains(Flags::GLOBAL), "{protection:?}: another process would see it");
    }
}

#[test]
fn new_memory_is_zeroed_and_its_own() {
    with_space(32, |space| {
        space.allocate(USER_START, 3 * PAGE, Protection::ReadWrite).unwrap();
        let frames = [0, 1, 2].map(|page| space.lookup(USER_START + page * PAGE).unwrap());
        assert!(frames[0] != frames[1] && frames[1] != frames[2] && frames[0] != frames[2]);
        for frame in frames {
            temporary::with_frame(frame, |words| assert!(words.iter().all(|word| word == 0)));
        }
        assert_eq!(space.allocate(USER_START + PAGE, PAGE, Protection::Read), Err(MemoryError::Occupied));
        assert_eq!(space.check_free(USER_START + 2 * PAGE, 2 * PAGE), Err(MemoryError::Occupied));
        assert_eq!(space.check_free(USER_START + 3 * PAGE, PAGE), Ok(()));
        assert_eq!(space.check_free(0, PAGE), Err(MemoryError::BadRange));
        // Nor where the memory has large pages, in their middle too.
        let large = (USER_START + LARGE_PAGE).next_multiple_of(LARGE_PAGE);
        space.map_foreign(large, 8 * LARGE_PAGE, LARGE_PAGE, Protection::ReadWrite).unwrap();
        for (address, expected) in [
            (large - PAGE, Ok(())),
            (large, Err(MemoryError::Occupied)),
            (large + 7 * PAGE, Err(MemoryError::Occupied)),
            (large + LARGE_PAGE - PAGE, Err(MemoryError::Occupied)),
            (large + LARGE_PAGE, Ok(())),
        ] {
            assert_eq!(space.check_free(address, PAGE), expected, "{address:#x}");
        }
    });
}

#[test]
fn a_page_that_finds_its_place_taken_is_given_back() {
    with_space(32, |space| {
        space.allocate(USER_START, PAGE, Protection::Read).unwrap();
        let before = PhysicalMemory::free_frames();
        assert_eq!(space.allocate(USER_START, PAGE, Protection::Read), Err(MemoryError::Occupied));
        assert_eq!(PhysicalMemory::free_frames(), before);
    });
}

#[test]
fn looks_up_what_a_process_may_name_only() {
    with_space(32, |space| {
        space.allocate(USER_START, PAGE, Protection::Read).unwrap();
        assert!(space.lookup(USER_START + 0xabc).is_ok());
        for address in [0, USER_START + PAGE, USER_END, 0xffff_ff00_0000_0000, u64::MAX] {
            assert_eq!(space.lookup(address), Err(Status::BadPointer), "{address:#x}");
        }
    });
}
