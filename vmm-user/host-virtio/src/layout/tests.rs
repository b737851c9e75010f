use alloc::collections::BTreeMap;

use super::*;

fn find_in(words: &[(u32, u32)]) -> Option<Layout> {
    let words: BTreeMap<u32, u32> = words.iter().copied().collect();
    find(|offset| {
        assert!(offset.is_multiple_of(4) && offset < 256, "{offset:#x}");
        words.get(&offset).copied().unwrap_or(0)
    })
}

fn capability(at: u32, next: u32, kind: u32, bar: u32, offset: u32, bytes: u32) -> [(u32, u32); 4] {
    [(at, kind << 24 | 20 << 16 | next << 8 | VENDOR), (at + 4, bar), (at + 8, offset), (at + 12, bytes)]
}

const LIST: [(u32, u32); 2] = [(STATUS, HAS_CAPABILITIES), (FIRST, 0x40)];

#[test]
fn structures_of_a_device() {
    let words = [
        &LIST[..],
        &capability(0x40, 0x60, COMMON, 4, 0, 0x1000),
        // Another common configuration does not count.
        &capability(0x60, 0x80, COMMON, 1, 0, 8),
        &capability(0x80, 0xa0, NOTIFY, 4, 0x3000, 0x1000),
        &[(0x90, 4)],
        &capability(0xa0, 0xc0, DEVICE, 4, 0x2000, 0x40),
        &capability(0xc0, 0, 5, 0, 0, 0),
    ]
    .concat();
    let region = |offset, bytes| Region { bar: 4, offset, bytes };
    let expected = Layout {
        common: region(0, 0x1000),
        notify: region(0x3000, 0x1000),
        multiplier: 4,
        device: Some(region(0x2000, 0x40)),
    };
    assert_eq!(find_in(&words), Some(expected));
}

#[test]
fn lists_that_are_none() {
    let common = capability(0x40, 0x60, COMMON, 4, 0, 0x1000);
    let circle = [&LIST[..], &capability(0x40, 0x60, 9, 0, 0, 0), &capability(0x60, 0x40, 9, 0, 0, 0)];
    let header = [&LIST[..1], &[(FIRST, 0x10), (0x10, VENDOR)]];
    let end = [&LIST[..1], &[(FIRST, 0xfc), (0xfc, COMMON << 24 | VENDOR)]];
    for words in [&[&LIST[..], &common].concat(), &circle.concat(), &header.concat(), &end.concat()] {
        assert_eq!(find_in(words), None, "{words:x?}");
    }
    assert_eq!(find(|_| u32::MAX), None);
    assert_eq!(find(|_| 0), None);
}

#[test]
fn pages_of_regions() {
    let pages = |offset, bytes| Region { bar: 0, offset, bytes }.pages(0x4000);
    assert_eq!(pages(0x2010, 0x40), (0x2000, 0x1000, 0x10));
    assert_eq!(pages(0xff0, 0x20), (0, 0x2000, 0xff0));
    assert_eq!(pages(0, 0x40_0000), (0, 0x4000, 0));
    assert_eq!(pages(u32::MAX, u32::MAX), (0xffff_f000, 0x4000, 0xfff));
    assert_eq!(pages(0x1000, 0), (0x1000, 0, 0));
}
