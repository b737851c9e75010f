use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use super::*;

/// Double words of functions; all others are ones, or zero of a function that is there.
struct Machine(BTreeMap<(u32, u32), u32>);

impl Machine {
    fn new(words: &[(u32, u32, u32)]) -> Self {
        Self(words.iter().map(|(function, offset, value)| ((*function, *offset), *value)).collect())
    }
}

impl Bus for Machine {
    fn read(&self, function: u32, offset: u32) -> u32 {
        let absent = if self.0.contains_key(&(function, 0)) { 0 } else { u32::MAX };
        *self.0.get(&(function, offset)).unwrap_or(&absent)
    }

    fn sizes(&self, function: u32) -> Option<[u32; 6]> {
        (function == 8).then_some([0, 0x1000, 0, 0, 0x4000, 0])
    }
}

const BLOCK: u32 = 0x1042_1af4;

fn machine() -> Machine {
    Machine::new(&[
        (0, 0, 0x29c0_8086),
        (8, 0, BLOCK),
        (8, 4, 2),
        (8, 0x14, 0xfeb0_0000),
        (8, 0x20, 0xfe00_000c),
        // A device without many functions, which answers for all.
        (9, 0, BLOCK),
        (16, 0, BLOCK),
        (0xf8, 0, 0x2918_8086),
        (0xf8, 0x0c, 0x80 << 16),
        (0xfa, 0, 0x2922_8086),
        (0x18, 0, 0x000c_1b36),
        (0x18, 4, 2),
        (0x18, 0x0c, 1 << 16),
        (0x18, 0x20, 0xfea0_fe80),
        (0x18, 0x24, 0x0000_fff0),
    ])
}

#[test]
fn functions_that_are_there() {
    let numbers: Vec<u32> = functions(&machine()).map(|found| found.number).collect();
    assert_eq!(numbers, [0, 8, 16, 0x18, 0xf8, 0xfa]);
    assert_eq!(Found { number: 8, id: BLOCK }.name(), "1af4:1042");
    assert_eq!(functions(&Machine::new(&[])).count(), 0);
}

#[test]
fn drivers_say_what_they_want() {
    for (text, expected) in [
        ("1af4:1042", Some(8)),
        ("1af4:1042 1", Some(16)),
        ("1af4:1042 2", None),
        ("8086:2922", Some(0xfa)),
        ("1af4:1043", None),
    ] {
        assert_eq!(Wanted::parse(text).unwrap().find(&machine()), expected, "{text}");
    }
    for text in ["", "1af4", "1af4:", ":1042", "1af4:1042 x", "1af4:1042 0 0", "11af4:1042", "1af4 1042"] {
        assert_eq!(Wanted::parse(text), None, "{text}");
    }
}

#[test]
fn what_is_decoded() {
    let ranges: Vec<_> = decoded(&machine()).collect();
    assert_eq!(
        ranges,
        vec![(0xfeb0_0000, 0xfeb0_0fff), (0xfe00_0000, 0xfe00_3fff), (0xfe80_0000, 0xfeaf_ffff),]
    );
}

/// Whatever configuration space says, a scan ends, finds each function once at most, and panics never.
#[test]
fn hosts_that_answer_by_chance() {
    struct Chance(core::cell::Cell<u64>);
    impl Chance {
        fn next(&self) -> u32 {
            let seed = self.0.get().wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            self.0.set(seed);
            (seed >> 32) as u32
        }
    }
    impl Bus for Chance {
        fn read(&self, _: u32, _: u32) -> u32 {
            let word = self.next();
            if word & 0x700 == 0 { [0, u32::MAX, 1 << 16, 0x80_0000][word as usize & 3] } else { word }
        }
        fn sizes(&self, _: u32) -> Option<[u32; 6]> {
            (self.next() & 1 == 0).then(|| core::array::from_fn(|_| self.next()))
        }
    }
    for seed in 0..200 {
        let bus = Chance(core::cell::Cell::new(seed));
        let numbers: Vec<u32> = functions(&bus).map(|found| found.number).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.iter().all(|number| *number < 256));
        assert!(decoded(&bus).all(|(first, last)| first <= last));
    }
}
