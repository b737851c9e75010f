//! A set of vCPUs.

use super::Kick;

/// A set of vCPUs; collects kicks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VcpuSet {
    words: [u64; 4],
}

impl VcpuSet {
    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        let [a, b, c, d] = self.words;
        a | b | c | d == 0
    }

    /// Whether `vcpu` is one of them.
    pub fn contains(&self, vcpu: usize) -> bool {
        self.words.get(vcpu / 64).is_some_and(|word| word >> (vcpu % 64) & 1 != 0)
    }

    /// Takes `vcpu` out.
    pub fn remove(&mut self, vcpu: usize) {
        if let Some(word) = self.words.get_mut(vcpu / 64) {
            *word &= !(1 << (vcpu % 64));
        }
    }

    /// Its members, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = usize> + use<> {
        let words = self.words;
        (0..4).flat_map(move |index: usize| {
            let mut word = words[index];
            core::iter::from_fn(move || {
                let bit = word.trailing_zeros() as usize;
                // Takes the lowest bit away; of zero nothing is left, and 64 trailing zeros end the
                // iteration.
                word &= word.wrapping_sub(1);
                (bit < 64).then_some(index * 64 + bit)
            })
        })
    }
}

impl Kick for VcpuSet {
    fn kick(&mut self, vcpu: usize) {
        if let Some(word) = self.words.get_mut(vcpu / 64) {
            *word |= 1 << (vcpu % 64);
        }
    }
}
