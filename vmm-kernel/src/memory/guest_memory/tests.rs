//! One test, because what is guest memory is one for all.

use super::*;

fn whole(index: usize) -> Option<Range> {
    range(0, u64::MAX, index)
}

#[test]
fn is_what_was_found_less_what_was_withheld() {
    let all = Range { start: 0x1000, end: 0x10_0000 };
    let ranges = Ranges::new();
    start(ranges);
    assert_eq!((whole(0), contains(0x1000, 1)), (None, false));
    let map: Vec<u8> = [1u64, 0xff, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    start(crate::memory::host_map::parse(&map, 40).unwrap().usable);
    withhold(Range { start: 0x8000, end: 0x9000 }).unwrap();
    assert_eq!(whole(0), Some(Range { start: 0x1000, end: 0x8000 }));
    assert_eq!(whole(1), Some(Range { start: 0x9000, end: 0xa_0000 }));
    assert_eq!(whole(2), None);
    assert_eq!(range(0x7000, 0xa000, 0), Some(Range { start: 0x7000, end: 0x8000 }));
    assert_eq!(range(0x7000, 0xa000, 1), Some(Range { start: 0x9000, end: 0xa000 }));
    assert_eq!(range(0x8000, 0xa000, 0), Some(Range { start: 0x9000, end: 0xa000 }));
    assert_eq!(range(0x7000, 0x9000, 1), None);
    for (at, bytes, expected) in [
        (0x1000, 0x7000, true),
        (0x1000, 0x7001, false),
        (0x7000, 0x2000, false),
        (0x8000, 1, false),
        (0x8fff, 1, false),
        (0x9000, 1, true),
        (0x1000, 0, false),
        (u64::MAX, 2, false),
        (0x9_f000, u64::MAX, false),
        (all.end - 1, 1, false),
    ] {
        assert_eq!(contains(at, bytes), expected, "{at:#x}, {bytes:#x}");
    }
    start(Ranges::new());
}
