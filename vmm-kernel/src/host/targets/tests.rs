//! Each target, on inputs made blindly: what libFuzzer finds more of, without it.

use super::TARGETS;

/// Inputs a target.
const INPUTS: u64 = 20_000;

/// A generator of numbers (xorshift64): the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// The least that an input is made from: an ELF file with two segments, a memory map, an XSAVE area.
fn seed(target: &str) -> Vec<u8> {
    let mut words: Vec<u64> = Vec::new();
    match target {
        "elf" => return crate::task::elf::tests::file(&[(5, 0x1_0000, 0x2000), (6, 0x2_0ff0, 0x3000)]),
        "host_map" => words.extend([0, 0x80, 0, 0x100, 0x8000, 0, 0x9000, 1, 3, 0xa000, 0x10, 0]),
        _ => words.extend((0..390).map(|i| i * 0x0101)),
    }
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn hold_for_any_input() {
    for (name, run) in TARGETS {
        let seed = seed(name);
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        run(&seed);
        for _ in 0..INPUTS {
            let mut input = seed.clone();
            for _ in 0..random.next() % 8 {
                let at = random.next() as usize % input.len();
                let bit = random.next();
                input[at] = if bit & 8 == 0 { input[at] ^ (1 << (bit & 7)) } else { (bit >> 8) as u8 };
            }
            if random.next().is_multiple_of(8) {
                input.truncate(random.next() as usize % (input.len() + 1));
            }
            run(&input);
        }
    }
}
