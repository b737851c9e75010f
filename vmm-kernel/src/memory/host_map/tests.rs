//! Maps that lie, and what is left of them.

use super::{HostMap, MapError, NEVER_MEMORY, PAGE, Range, Ranges, check, parse};

const MEMORY: u16 = 0;
const RESERVED: u16 = 1;
const BITS: u32 = 40;

/// A map's bytes, of (first page, pages, type).
fn map(entries: &[(u64, u64, u16)]) -> Vec<u8> {
    let bytes = |(page, pages, kind): &(u64, u64, u16)| {
        [page.to_le_bytes(), pages.to_le_bytes(), u64::from(*kind).to_le_bytes()].concat()
    };
    entries.iter().flat_map(bytes).collect()
}

fn parsed(entries: &[(u64, u64, u16)]) -> Result<HostMap, MapError> {
    parse(&map(entries), BITS)
}

/// What is usable, as (start, end) in bytes.
fn usable(entries: &[(u64, u64, u16)]) -> Vec<(u64, u64)> {
    let map = parsed(entries).unwrap_or_else(|e| panic!("{entries:?}: {e}"));
    map.usable.as_slice().iter().map(|r| (r.start, r.end)).collect()
}

fn error(entries: &[(u64, u64, u16)]) -> Option<MapError> {
    parsed(entries).err()
}

#[test]
fn an_ordinary_map() {
    let map = [(0, 0x9f, MEMORY), (0x9f, 1, RESERVED), (0x100, 0x7_ff00, MEMORY), (0x10_0000, 0x100, MEMORY)];
    assert_eq!(usable(&map), [(0, 0x9_f000), (0x10_0000, 0x8000_0000), (0x1_0000_0000, 0x1_0010_0000)]);
    assert!(!parsed(&map).is_ok_and(|m| m.over_devices));
}

/// The issue's own: the page of Plinth's I/O APIC to that of its local APIC, called memory.
#[test]
fn devices_are_never_memory() {
    assert_eq!(usable(&[(0x100, 0x100, MEMORY), (0xf_ec00, 0x300, MEMORY)]), [(0x10_0000, 0x20_0000)]);
    for (first, last) in
        [(0xe_0000, 0xf_ffff), (0xf_ec00, 0xf_ec00), (0xf_ed00, 0xf_ed00), (0xf_ee00, 0xf_ee00)]
    {
        let map = parsed(&[(0x100, 0x100, MEMORY), (first, last - first + 1, MEMORY)]);
        assert!(map.is_ok_and(|m| m.over_devices && m.usable.as_slice().len() == 1), "{first:#x}");
    }
    // All of it, in one entry.
    let all = usable(&[(0, 1 << 28, MEMORY)]);
    assert_eq!(all, [(0, 0xa_0000), (0x10_0000, 0xe000_0000), (0x1_0000_0000, 1 << 40)]);
    for hole in NEVER_MEMORY {
        assert!(all.iter().all(|(start, end)| *end <= hole.start || *start >= hole.end));
    }
}

#[test]
fn what_is_reserved_is_not_memory() {
    // Behind the memory, before it, across its ends, twice, all of it but a page, past every address,
    // wrapping.
    assert_eq!(
        usable(&[(0x180, 0x10, RESERVED), (0x100, 0x100, MEMORY), (0x1f0, 0x100, RESERVED), (0x188, 4, 7)]),
        [(0x10_0000, 0x18_0000), (0x19_0000, 0x1f_0000)]
    );
    assert_eq!(usable(&[(0x100, 0x100, MEMORY), (0x101, u64::MAX, RESERVED)]), [(0x10_0000, 0x10_1000)]);
    assert_eq!(usable(&[(0x100, 0x100, MEMORY), (u64::MAX, u64::MAX, RESERVED)]), [(0x10_0000, 0x20_0000)]);
    assert_eq!(usable(&[(0x100, 0x100, MEMORY), (0x100, 0x100, RESERVED)]), []);
}

#[test]
fn maps_that_are_refused() {
    assert_eq!(error(&[]), Some(MapError::Empty));
    assert_eq!(error(&[(0x100, 0, MEMORY), (0x100, 0x100, MEMORY)]), Some(MapError::Empty));
    assert_eq!(error(&[(0x100, 0x100, RESERVED)]), Some(MapError::Empty));
    assert_eq!(
        error(&[(0x200, 0x100, MEMORY), (0x100, 0x100, MEMORY)]),
        Some(MapError::OutOfOrder { index: 1 })
    );
    assert_eq!(
        error(&[(0x100, 0x101, MEMORY), (0x200, 0x100, MEMORY)]),
        Some(MapError::OutOfOrder { index: 1 })
    );
    assert_eq!(error(&[(0x100, 1, MEMORY), (0x100, 1, MEMORY)]), Some(MapError::OutOfOrder { index: 1 }));
    for (page, pages) in
        [(0, (1 << 28) + 1), (1 << 28, 1), (1, u64::MAX), (u64::MAX, 1), (u64::MAX, u64::MAX)]
    {
        assert_eq!(error(&[(page, pages, MEMORY)]), Some(MapError::OutOfRange { index: 0 }), "{page:#x}");
    }
    let many: Vec<_> = (0..65).map(|i| (0x100 + i * 2, 1, MEMORY)).collect();
    assert_eq!(error(&many), Some(MapError::TooMany));
    assert_eq!(usable(many.get(..64).unwrap_or(&[])).len(), 64);
    // Reserved entries cut one range into too many.
    let cut: Vec<_> = (0..64).map(|i| (0x101 + i * 2, 1, RESERVED)).chain([(0x100, 0x100, MEMORY)]).collect();
    assert_eq!(error(&cut), Some(MapError::TooMany));
}

#[test]
fn memory_ends_where_the_processor_does() {
    let map = map(&[(0x100, (1 << 24) - 0x100, MEMORY)]);
    assert!(parse(&map, 36).is_ok());
    assert_eq!(parse(&map, 35).err(), Some(MapError::OutOfRange { index: 0 }));
    // A processor that claims none, or more than is looked at.
    assert!(parse(&map, 0).is_err() && parse(&map, u32::MAX).is_ok());
}

/// The last entry may be cut off by the end of the area; none is beyond those that are looked at.
#[test]
fn the_end_of_the_area() {
    let bytes = map(&[(0x100, 0x100, MEMORY), (0x300, 0x100, MEMORY)]);
    for cut in 0..bytes.len() {
        let found = parse(bytes.get(..cut).unwrap_or(&[]), BITS).map(|m| m.usable.as_slice().len());
        assert_eq!(found, if cut < 24 { Err(MapError::Empty) } else { Ok(1) });
    }
    let last: Vec<_> = (0..340).map(|_| (0x1000, 1, RESERVED)).chain([(0x100, 0x100, MEMORY)]).collect();
    assert_eq!(usable(&last), [(0x10_0000, 0x20_0000)]);
}

#[test]
fn whether_there_is_memory() {
    let gib = 1 << 30;
    let ranges = usable_ranges(&[(0x10_0000, gib), (4 * gib, 4 * gib + PAGE), (5 * gib, 1 << 40)]);
    let mut tried = Vec::new();
    assert_eq!(
        check(ranges.as_slice(), |address| {
            tried.push(address);
            true
        }),
        Ok(())
    );
    for ends in [0x10_0000, gib - PAGE, 4 * gib, 5 * gib, (1 << 40) - PAGE] {
        assert!(tried.contains(&ends), "{ends:#x}");
    }
    assert!(tried.iter().all(|a| a.is_multiple_of(PAGE) && ranges.contains(*a, PAGE)));
    assert!(tried.len() < 2100, "{}", tried.len());
    // 128 MiB with memory in the first 96 only; and one page that is missing at the end.
    let range = usable_ranges(&[(0, 128 << 20)]);
    assert_eq!(check(range.as_slice(), |a| a < 96 << 20), Err(MapError::NoMemory { address: 96 << 20 }));
    assert_eq!(
        check(range.as_slice(), |a| a < (128 << 20) - PAGE),
        Err(MapError::NoMemory { address: (128 << 20) - PAGE })
    );
}

fn usable_ranges(of: &[(u64, u64)]) -> Ranges {
    let mut ranges = Ranges::new();
    for (start, end) in of {
        assert_eq!(ranges.push(Range { start: *start, end: *end }), Ok(()));
    }
    ranges
}

/// Whatever the bytes are, what comes out is sorted, apart, and none of it a device's.
#[test]
fn random_maps() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let maps = if cfg!(miri) { 100 } else { 100_000 };
    let mut accepted = 0;
    for _ in 0..maps {
        let count = random() % 8;
        let mut page = 0u64;
        let entries: Vec<_> = (0..count)
            .map(|_| {
                let wild = random() % 16 == 0;
                page = if wild { random() } else { page.wrapping_add(random() % (1 << 21)) };
                let pages = if random() % 16 == 0 { random() } else { random() % (1 << 21) };
                let entry = (page, pages, (random() % 3) as u16);
                page = page.wrapping_add(if random() % 8 == 0 { 0 } else { pages });
                entry
            })
            .collect();
        let Ok(HostMap { usable, .. }) = parse(&map(&entries), BITS) else { continue };
        accepted += 1;
        let ranges = usable.as_slice();
        assert!(ranges.iter().all(|r| r.start < r.end && r.end <= 1 << 40), "{entries:x?}");
        assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start), "{entries:x?}");
        assert!(!NEVER_MEMORY.iter().any(|hole| usable.overlaps(*hole)), "{entries:x?}");
        let ended = entries.iter().position(|e| e.1 == 0).unwrap_or(entries.len());
        for (page, pages, _) in entries.iter().take(ended).filter(|e| e.2 != MEMORY) {
            let reserved = Range {
                start: page.min(&(1 << 28)) << 12,
                end: page.saturating_add(*pages).min(1 << 28) << 12,
            };
            assert!(reserved.start >= reserved.end || !usable.overlaps(reserved), "{entries:x?}");
        }
    }
    assert!(accepted > maps / 10, "{accepted} of {maps}");
}
