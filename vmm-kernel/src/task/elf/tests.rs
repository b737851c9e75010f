//! Files made by hand (System V ABI, chapter 4).

use super::*;
use crate::host::PhysicalMemory;
use crate::memory::frames;
use crate::memory::payer::Payer;

/// An executable whose segments are (flags, address, size in memory), with contents of half that size, byte
/// 11h, 22h and so on; it is entered at the first.
pub fn file(segments: &[(u32, u64, u64)]) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let entry = segments.first().map_or(0, |segment| segment.1);
    let short =
        |bytes: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
    short(&mut bytes, &[2, 62]);
    bytes.extend(1u32.to_le_bytes());
    for word in [entry, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(0u32.to_le_bytes());
    short(&mut bytes, &[64, 56, segments.len() as u16, 64, 0, 0]);
    let mut at = 64 + 56 * segments.len() as u64;
    for (flags, address, size) in segments {
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        for word in [at, *address, *address, size / 2, *size, 4096] {
            bytes.extend(word.to_le_bytes());
        }
        at += size / 2;
    }
    for (index, (_, _, size)) in segments.iter().enumerate() {
        bytes.extend(std::iter::repeat_n(0x11u8.wrapping_mul(index as u8 + 1), (size / 2) as usize));
    }
    bytes
}

/// Loads a file, and hands the space on to see what is there.
fn load_into<R>(file: &[u8], see: impl FnOnce(&Space, Result<u64, Status>) -> R) -> R {
    let _memory = PhysicalMemory::new(64);
    let kernel = frames::allocate_zeroed().unwrap();
    let space = Space::try_new(kernel, Payer::NOBODY).unwrap();
    let loaded = load(&space, file);
    see(&space, loaded)
}

fn loaded(file: &[u8]) -> Result<u64, Status> {
    load_into(file, |_, loaded| loaded)
}

fn byte(space: &Space, address: u64) -> u8 {
    let mut byte = [0xff];
    temporary::copy_out(space.lookup(address).unwrap(), (address % PAGE) as usize, &mut byte);
    byte[0]
}

const CODE: (u32, u64, u64) = (5, 0x1_0000, 0x2000);

#[test]
fn contents_are_where_they_should_be_and_the_rest_is_zero() {
    load_into(&file(&[CODE, (6, 0x2_0ff0, 0x3000)]), |space, loaded| {
        assert_eq!(loaded, Ok(0x1_0000));
        for (address, expected) in [
            (0x1_0000, 0x11),
            (0x1_0fff, 0x11),
            (0x1_1000, 0),
            (0x1_1fff, 0),
            (0x2_0000, 0),
            (0x2_0fef, 0),
            (0x2_0ff0, 0x22),
            (0x2_27ef, 0x22),
            (0x2_27f0, 0),
            (0x2_3fff, 0),
        ] {
            assert_eq!(byte(space, address), expected, "{address:#x}");
        }
        assert!(space.lookup(0x1_2000).is_err() && space.lookup(0x2_4000).is_err());
    });
}

#[test]
fn each_segment_has_its_rights_and_none_is_writable_code() {
    for (flags, expected) in [
        (4, Ok(Protection::Read)),
        (0, Ok(Protection::Read)),
        (6, Ok(Protection::ReadWrite)),
        (2, Ok(Protection::ReadWrite)),
        (5, Ok(Protection::ReadExecute)),
        (1, Ok(Protection::ReadExecute)),
        (7, Err(Status::BadArgument)),
        (3, Err(Status::BadArgument)),
    ] {
        let mut bytes = file(&[CODE]);
        bytes[68] = flags;
        assert_eq!(loaded(&bytes).is_ok(), expected.is_ok(), "{flags}");
        assert_eq!(protection(ProgramFlags(u32::from(flags))), expected, "{flags}");
    }
}

#[test]
fn what_is_no_static_executable_is_refused() {
    for (what, at, value) in [
        ("the magic", 0, 0x7e),
        ("32 bits", 4, 1),
        ("big endian", 5, 2),
        ("a shared object", 16, 3),
        ("another machine", 18, 3),
        ("program headers elsewhere", 33, 0xff),
        ("headers of another size", 54, 55),
    ] {
        let mut bytes = file(&[CODE]);
        bytes[at] = value;
        assert_eq!(loaded(&bytes), Err(Status::BadArgument), "{what}");
    }
    let whole = file(&[CODE]);
    for length in [0, 3, 16, 63, 64, 119] {
        assert!(loaded(&whole[..length]).is_err(), "{length} bytes");
    }
    assert_eq!(loaded(&whole[..whole.len() - 1]), Err(Status::BadArgument), "contents cut short");
}

#[test]
fn segments_lie_in_the_users_half_and_not_on_each_other() {
    for (what, segment, expected) in [
        ("below what may be mapped", (4, 0xf000, 0x1000), Status::BadArgument),
        ("the null page", (4, 0, 0x1000), Status::BadArgument),
        ("the kernel's half", (4, 0xffff_ffff_8000_0000, 0x1000), Status::BadArgument),
        ("the hole", (4, 1 << 47, 0x1000), Status::BadArgument),
        ("over the end", (4, USER_END - 0x1000, 0x2000), Status::BadArgument),
        ("around the end", (4, u64::MAX - 0xfff, 0x2000), Status::BadArgument),
        ("on the first one", (4, 0x1_1000, 0x1000), Status::Overlap),
        ("in a page of the first one", (4, 0x1_1ff0, 0x10), Status::Overlap),
    ] {
        assert_eq!(loaded(&file(&[CODE, segment])), Err(expected), "{what}");
    }
}

#[test]
fn only_so_many_segments_are_looked_at() {
    let at = |index: usize| 0x1_0000 + index as u64 * PAGE;
    let many: Vec<_> = (0..=SEGMENTS_MAX).map(|index| (4, at(index), 0x10)).collect();
    load_into(&file(&many), |space, loaded| {
        assert_eq!(loaded, Ok(at(0)));
        assert_eq!(byte(space, at(SEGMENTS_MAX - 1)), 0x11u8.wrapping_mul(SEGMENTS_MAX as u8));
        assert_eq!(space.lookup(at(SEGMENTS_MAX)), Err(Status::BadPointer));
    });
}

#[test]
fn contents_larger_than_the_segment_are_refused() {
    let mut bytes = file(&[CODE]);
    // The size in memory, one less than that of the contents.
    bytes[64 + 40..64 + 48].copy_from_slice(&0xfff_u64.to_le_bytes());
    assert_eq!(loaded(&bytes), Err(Status::BadArgument));
}

#[test]
fn a_file_is_entered_in_the_users_half() {
    for (entry, is_good) in [
        (USER_START - 1, false),
        (USER_START, true),
        (USER_END - 1, true),
        (USER_END, false),
        (u64::MAX, false),
        (0, false),
    ] {
        let mut bytes = file(&[CODE]);
        bytes[24..32].copy_from_slice(&entry.to_le_bytes());
        assert_eq!(loaded(&bytes).is_ok(), is_good, "{entry:#x}");
    }
}

#[test]
fn memory_that_does_not_suffice_is_a_status() {
    assert_eq!(loaded(&file(&[CODE, (6, 0x10_0000, 0x10_0000)])), Err(Status::Exhausted));
}
