//! Rounding, order, overlaps.

use super::*;

type Raw = (u64, u64, u32);

fn map(list: &[Raw]) -> Result<std::vec::Vec<(u64, u64, bool)>, MapError> {
    let mut map = MemoryMap::default();
    for (address, bytes, kind) in list {
        map.add(*address, *bytes, *kind)?;
    }
    let map = map.finish()?;
    Ok(map.entries().iter().map(|entry| (entry.extent.start, entry.extent.end, entry.ram)).collect())
}

#[test]
fn maps() {
    // As SeaBIOS gives it, out of order.
    let pc: &[Raw] =
        &[(0x10_0000, 0x1fee_0000, 1), (0, 0x9_fc00, 1), (0x9_fc00, 0x400, 2), (0xf_0000, 0x1_0000, 2)];
    assert_eq!(
        map(pc),
        Ok(std::vec![
            (0, 0x9_f000, true),
            (0x9_f000, 0xa_0000, false),
            (0xf_0000, 0x10_0000, false),
            (0x10_0000, 0x1ffe_0000, true)
        ])
    );
    // Less than a page of RAM is none; reserved entries that share a page become one.
    assert_eq!(map(&[(0x1800, 0x1000, 1)]), Ok(std::vec![]));
    assert_eq!(map(&[(0x1000, 0x10, 3), (0x1800, 0x1000, 4)]), Ok(std::vec![(0x1000, 0x3000, false)]));
    assert_eq!(map(&[(0x1000, 0, 2), (0x2000, 0, 1)]), Ok(std::vec![]));
}

#[test]
fn wrong_maps() {
    let last = u64::MAX - 4095;
    for (list, error) in [
        (&[(0, 0x2000, 1), (0x1000, 0x1000, 1)][..], MapError::Overlap(0, 0x1000)),
        (&[(0x1000, 0x1000, 2), (0, 0x2000, 1)], MapError::Overlap(0, 0x1000)),
        (&[(0, 0x1_0000, 2), (0x8000, 1, 2), (0xf000, 0x1000, 1)], MapError::Overlap(0, 0xf000)),
        (&[(last, 0x2000, 1)], MapError::Wraps(last)),
        (&[(u64::MAX - 1, 1, 2)], MapError::Wraps(u64::MAX - 1)),
    ] {
        assert_eq!(map(list), Err(error), "{list:?}");
    }
    let many: std::vec::Vec<Raw> = (0..129).map(|index| (index * 0x2000, 0x1000, 1)).collect();
    assert_eq!(map(&many), Err(MapError::TooMany));
    assert_eq!(map(&many[..128]).map(|map| map.len()), Ok(128));
}

#[test]
fn ram_is_merged() {
    let mut map = MemoryMap::default();
    for (address, kind) in [(0, 1), (0x1000, 1), (0x2000, 2), (0x3000, 1)] {
        map.add(address, 0x1000, kind).unwrap();
    }
    let ram = map.finish().unwrap().ram();
    assert_eq!(ram.as_slice(), [Extent { start: 0, end: 0x2000 }, Extent { start: 0x3000, end: 0x4000 }]);
}
