//! Page tables made by hand.

use super::*;
use crate::testing::TestMemory;

/// Tables at 0x1000 (root) to 0x4000: a page at slot (1, 2, 3, 4), a 2 MiB page and a 1 GiB page beside it.
fn tables() -> TestMemory {
    let mut memory = TestMemory::new(0x1000, 0x4000);
    memory.bytes.fill(0);
    for (at, entry) in [
        (0x1000 + 8, 0x2003u64),
        (0x2000 + 2 * 8, 0x3003),
        (0x3000 + 3 * 8, 0x4003),
        (0x4000 + 4 * 8, 0xabc_d000 | 1 | 1 << 63),
        (0x4000 + 5 * 8, 0xabc_e083), // PAT, not "large"
        (0x3000 + 4 * 8, 0xe0_0083),
        (0x2000 + 3 * 8, 0xc000_0081),
        (0x2000 + 4 * 8, 0x9_0000_0003), // a table outside memory
        (0x3000 + 5 * 8, 0x4001),        // read-only from here on
    ] {
        memory.put(at, &entry.to_le_bytes());
    }
    memory
}

fn address(slots: [u64; 4], offset: u64) -> u64 {
    slots.iter().fold(0, |address, slot| address << 9 | slot) << 12 | offset
}

#[test]
fn translations() {
    let memory = tables();
    let mapping = |gpa, writable, executable| Some(Mapping { gpa, writable, executable });
    for (slots, offset, expected) in [
        ([1, 2, 3, 4], 0x123, mapping(0xabc_d123, false, false)),
        ([1, 2, 3, 5], 0x123, mapping(0xabc_e123, true, true)),
        ([1, 2, 4, 7], 0x123, mapping(0xe0_7123, true, true)),
        ([1, 3, 7, 7], 0x123, mapping(0xc0e0_7123, false, true)),
        ([1, 2, 5, 5], 0, mapping(0xabc_e000, false, true)),
        ([1, 2, 3, 6], 0, None),
        ([1, 4, 0, 0], 0, None),
        ([2, 0, 0, 0], 0, None),
    ] {
        assert_eq!(translate(&memory, 0x1018, address(slots, offset)), expected, "{slots:?}");
    }
    assert_eq!(translate(&memory, 0x9_0000, 0), None);
}
