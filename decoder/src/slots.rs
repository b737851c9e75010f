//! The store of a cache: a fixed number of places, each for the entries whose numbers leave the same remainder.

/// Up to `N` entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots<T, const N: usize>([Option<T>; N]);

impl<T: Copy, const N: usize> Default for Slots<T, N> {
    fn default() -> Self {
        Slots([None; N])
    }
}

impl<T, const N: usize> Slots<T, N> {
    /// What is where an entry of this number would be: perhaps one of another number.
    #[inline]
    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        self.0.get(Self::index(number)).and_then(Option::as_ref)
    }

    /// Puts an entry in its place.
    #[inline]
    pub(crate) fn set(&mut self, number: u64, entry: T) {
        if let Some(slot) = self.0.get_mut(Self::index(number)) {
            *slot = Some(entry);
        }
    }

    fn index(number: u64) -> usize {
        number.checked_rem(N as u64).unwrap_or(0) as usize
    }
}
