use super::*;
use crate::testing::{Machine, formats};

/// Counts, up to a limit.
struct Counter(u8, usize);

impl Entropy for Counter {
    fn fill(&mut self, bytes: &mut [u8]) -> usize {
        let count = bytes.len().min(self.1);
        self.1 -= count;
        for byte in &mut bytes[..count] {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        count
    }
}

#[test]
fn buffers_are_filled() {
    for format in formats() {
        let mut machine = Machine::ready(Rng::new(Counter(0, usize::MAX)), format, 8);
        for start in [0, 44, 88] {
            let expected: Vec<u8> = (start..start + 44).collect();
            assert_eq!(machine.request(0, &[], &[40, 4]), Some((44, expected)), "{format:?}");
        }
        let (written, bytes) = machine.request(0, &[], &[5000]).unwrap();
        assert_eq!((written, bytes[4095], bytes[4096]), (4096, 131, 0xee), "more than it gives at once");
    }
}

/// What a guest got does not stay in the device.
#[test]
fn nothing_is_kept() {
    let mut machine = Machine::ready(Rng::new(Counter(1, usize::MAX)), Default::default(), 8);
    machine.request(0, &[], &[100]).unwrap();
    assert!(machine.function.device().buffer.iter().all(|byte| *byte == 0));
}

#[test]
fn a_source_that_runs_dry_gives_what_it_has() {
    for format in formats() {
        let mut machine = Machine::ready(Rng::new(Counter(1, 300)), format, 8);
        let (written, bytes) = machine.request(0, &[], &[400]).unwrap();
        assert_eq!((written, bytes[299], bytes[300]), (300, 44, 0xee));
        assert_eq!(machine.request(0, &[], &[4]), Some((0, vec![0xee; 4])));
        assert_eq!(machine.request(0, &[&[1]], &[]).map(|used| used.0), Some(0), "no room at all");
    }
}
