//! Merging, and finding room.

use super::*;

fn extents(list: &[(u64, u64)]) -> Extents<4> {
    let mut extents = Extents::default();
    for (start, end) in list {
        extents.insert(Extent { start: *start, end: *end }).unwrap();
    }
    extents
}

fn pairs(extents: &Extents<4>) -> std::vec::Vec<(u64, u64)> {
    extents.as_slice().iter().map(|one| (one.start, one.end)).collect()
}

#[test]
fn insert() {
    for (list, expected) in [
        (&[(1, 2), (5, 6), (3, 4)][..], &[(1, 2), (3, 4), (5, 6)][..]),
        (&[(1, 2), (2, 3), (3, 4)], &[(1, 4)]),
        (&[(3, 4), (2, 3), (1, 2)], &[(1, 4)]),
        (&[(1, 2), (3, 4), (5, 6), (7, 8), (2, 7)], &[(1, 8)]),
        (&[(1, 2), (3, 4), (5, 6), (7, 8), (4, 5)], &[(1, 2), (3, 6), (7, 8)]),
        (&[(1, 9), (3, 4)], &[(1, 9)]),
        (&[(3, 4), (1, 9)], &[(1, 9)]),
        (&[(3, 3), (4, 2)], &[]),
    ] {
        assert_eq!(pairs(&extents(list)), expected, "{list:?}");
    }
}

#[test]
fn full() {
    let mut four = extents(&[(1, 2), (3, 4), (5, 6), (7, 8)]);
    assert_eq!(four.insert(Extent { start: 9, end: 10 }), Err(Full));
    assert_eq!(four.insert(Extent { start: 8, end: 10 }), Ok(()));
    assert_eq!(pairs(&four), [(1, 2), (3, 4), (5, 6), (7, 10)]);
}

#[test]
fn questions() {
    let some = extents(&[(10, 20), (30, 40)]);
    let extent = |start, end| Extent { start, end };
    assert!(
        some.contains(extent(10, 20)) && !some.contains(extent(10, 21)) && !some.contains(extent(15, 35))
    );
    assert_eq!(some.overlapping(extent(20, 30)), None);
    assert_eq!(some.overlapping(extent(19, 31)), Some(extent(10, 20)));
    assert_eq!(Extent::new(u64::MAX, 1), None);
}

#[test]
fn highest_free() {
    let ram = extents(&[(0x1000, 0x5000), (0x8000, 0xa000)]);
    let taken = |start, end| [Extent { start, end }];
    for (bytes, limit, taken, expected) in [
        (0x1000, 0x10000, taken(0, 0), Some(0x9000)),
        (0x1001, 0x10000, taken(0, 0), Some(0x8000)),
        (0x2001, 0x10000, taken(0, 0), Some(0x2000)),
        (0x1000, 0x9fff, taken(0, 0), Some(0x8000)),
        (0x1000, 0x10000, taken(0x9800, 0x9801), Some(0x8000)),
        (0x1000, 0x10000, taken(0x8fff, 0x9001), Some(0x4000)),
        (0x4000, 0x10000, taken(0, 0x1000), Some(0x1000)),
        (0x4000, 0x10000, taken(0, 0x1001), None),
        (0x4001, 0x10000, taken(0, 0), None),
        (u64::MAX, u64::MAX, taken(0, 0), None),
    ] {
        assert_eq!(ram.highest_free(bytes, 0x1000, limit, &[&taken]), expected, "{bytes:#x} {taken:?}");
    }
}
