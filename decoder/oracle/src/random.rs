//! Random numbers that are the same in every run (SplitMix64).

/// A generator.
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Random {
    /// One that starts at `seed`.
    pub const fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number, any of 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        // Constants: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// The next number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // Slightly uneven, which does not matter for tests.
        self.bits() % end
    }

    /// One of `choices`, which are some.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Numbers like those that break arithmetic: small, all-ones, around sign bits, or just any.
    pub fn operand(&mut self) -> u64 {
        let value = self.bits();
        match self.below(8) {
            0 => value & 0xf,
            1 => u64::MAX.wrapping_sub(value & 0xf),
            2 => (1_u64 << (value & 63)).wrapping_sub(value >> 62),
            3 => (0x8080_8080_8080_8080_u64 >> (value & 7)).wrapping_add(value >> 60),
            _ => value,
        }
    }
}
