//! A set of interrupt vectors whose highest member is found in two steps.

/// 256 bits in the layout of ISR, TMR and IRR, with a summary of which words are not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vectors {
    words: [u32; 8],
    summary: u8,
}

impl Vectors {
    /// The word holding `vector` and the vector's bit in it.
    pub(crate) const fn place(vector: u8) -> (usize, u32) {
        ((vector >> 5) as usize, 1 << (vector & 31))
    }

    /// Word `index` (modulo 8).
    pub(crate) fn word(&self, index: u32) -> u32 {
        self.words[(index & 7) as usize]
    }

    /// Replaces word `index` (modulo 8).
    pub(crate) fn set_word(&mut self, index: usize, value: u32) {
        let index = index & 7;
        self.words[index] = value;
        let bit = 1 << index;
        self.summary = if value == 0 { self.summary & !bit } else { self.summary | bit };
    }

    pub(crate) fn insert(&mut self, vector: u8) {
        let (word, bit) = Self::place(vector);
        self.words[word] |= bit;
        self.summary |= 1 << word;
    }

    pub(crate) fn remove(&mut self, vector: u8) {
        let (word, bit) = Self::place(vector);
        self.set_word(word, self.words[word] & !bit);
    }

    pub(crate) fn contains(&self, vector: u8) -> bool {
        let (word, bit) = Self::place(vector);
        self.words[word] & bit != 0
    }

    /// The highest vector of the set.
    pub(crate) fn highest(&self) -> Option<u8> {
        let word = self.summary.checked_ilog2()?;
        let bit = self.word(word).checked_ilog2()?;
        Some((word * 32 + bit) as u8)
    }
}
