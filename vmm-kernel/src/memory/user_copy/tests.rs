use super::*;

#[test]
fn a_range_lies_in_the_users_half() {
    let bad = Some(Status::BadPointer);
    for (start, bytes, expected) in [
        (USER_START, 0, None),
        (USER_START, 1, None),
        (USER_START, USER_END - USER_START, None),
        (USER_END, 0, None),
        (USER_END - 1, 1, None),
        (USER_END - 1, 2, bad),
        (USER_END, 1, bad),
        (USER_START - 1, 2, bad),
        (0, 0, bad),
        (0, 8, bad),
        (0x0000_8000_0000_0000, 8, bad),
        (0xffff_8000_0000_0000, 8, bad),
        (u64::MAX, 1, bad),
        (u64::MAX, 2, bad),
        (USER_START, u64::MAX, bad),
        (USER_START, u64::MAX - USER_START + 1, bad),
    ] {
        assert_eq!(AllegedRange::new(start, bytes).err(), expected, "{start:#x}, {bytes:#x}");
    }
}
