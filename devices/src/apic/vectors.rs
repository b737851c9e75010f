//! A set of interrupt vectors.

/// 256 bits. ISR, TMR and IRR show them as eight words of 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vectors {
    words: [u64; 4],
}

impl Vectors {
    /// The register word that shows `vector`, and the vector's bit in it.
    pub(crate) const fn place(vector: u8) -> (usize, u32) {
        ((vector >> 5) as usize, 1 << (vector & 31))
    }

    /// Register word `index` (modulo 8).
    pub(crate) fn word(&self, index: u32) -> u32 {
        (self.words[(index >> 1 & 3) as usize] >> (32 * (index & 1))) as u32
    }

    /// Replaces register word `index` (modulo 8).
    pub(crate) fn set_word(&mut self, index: usize, value: u32) {
        let shift = 32 * (index & 1);
        let word = &mut self.words[index >> 1 & 3];
        *word = *word & !(0xffff_ffff << shift) | u64::from(value) << shift;
    }

    #[inline]
    pub(crate) fn insert(&mut self, vector: u8) {
        self.words[usize::from(vector >> 6)] |= 1 << (vector & 63);
    }

    #[inline]
    pub(crate) fn remove(&mut self, vector: u8) {
        self.words[usize::from(vector >> 6)] &= !(1 << (vector & 63));
    }

    #[inline]
    pub(crate) fn contains(&self, vector: u8) -> bool {
        self.words[usize::from(vector >> 6)] >> (vector & 63) & 1 != 0
    }

    /// Whether the set has no member.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.words[0] | self.words[1] | self.words[2] | self.words[3] == 0
    }

    /// The highest vector of the set.
    #[inline]
    pub(crate) fn highest(&self) -> Option<u8> {
        // The timer's and the IPIs' vectors, which are asked for most, are in the highest word.
        (0..4_u8).rev().find_map(|index| {
            let bit = self.words[usize::from(index)].checked_ilog2()?;
            Some(index << 6 | bit as u8)
        })
    }
}
