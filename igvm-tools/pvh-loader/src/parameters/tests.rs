//! What the kernel will read.

use std::vec;

use super::*;
use crate::file::ParameterKind;

fn facts(entries: u64) -> HostFacts {
    let mut map = MemoryMap::default();
    for index in 0..entries {
        map.add(index * 0x3000, 0x2000, 1 + (index % 2) as u32).unwrap();
    }
    HostFacts { memory_map: map.finish().unwrap(), vp_count: 0x0102 }
}

fn parameter(kind: ParameterKind, offset: u32) -> Parameter {
    Parameter { kind, area: 0, offset }
}

#[test]
fn memory_map() {
    let mut area = vec![0; 8 + 3 * 24];
    write(&mut area, parameter(ParameterKind::MemoryMap, 8), &facts(2)).unwrap();
    let words: std::vec::Vec<u64> =
        area.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    // First page, number of pages, type.
    assert_eq!(words, [0, 0, 2, 0, 3, 2, 1, 0, 0, 0]);
}

#[test]
fn numbers() {
    let mut area = vec![0; 12];
    write(&mut area, parameter(ParameterKind::VpCount, 0), &facts(1)).unwrap();
    write(&mut area, parameter(ParameterKind::EnvironmentInfo, 8), &facts(1)).unwrap();
    assert_eq!(area, [2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
}

#[test]
fn what_does_not_fit() {
    let mut area = vec![0; 2 * 24];
    for (kind, offset, entries, fits) in [
        (ParameterKind::MemoryMap, 0, 2, true),
        (ParameterKind::MemoryMap, 1, 2, false),
        (ParameterKind::MemoryMap, 0, 3, false),
        (ParameterKind::VpCount, 44, 1, true),
        (ParameterKind::VpCount, 45, 1, false),
        (ParameterKind::EnvironmentInfo, 100, 1, false),
    ] {
        let result = write(&mut area, parameter(kind, offset), &facts(entries));
        let expected = if fits { Ok(()) } else { Err(AreaTooSmall { entries: entries as usize }) };
        assert_eq!(result, expected, "{kind:?} at {offset}");
    }
}
