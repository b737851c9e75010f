//! Bytes in memory of the process's own, or in memory that others have mapped.

use core::sync::atomic::{AtomicU64, Ordering};

/// Copies bytes out of words, from a byte on. Returns how many there were.
pub fn load(words: &[AtomicU64], first: usize, into: &mut [u8]) -> usize {
    let bytes = words.get(first / 8..).unwrap_or_default().iter();
    // Each word is loaded once: others change it meanwhile.
    let bytes = bytes.flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).skip(first % 8);
    into.iter_mut().zip(bytes).map(|(to, from)| *to = from).count()
}

/// Copies bytes into words, from a byte on, as many as there is room for.
pub fn store(words: &[AtomicU64], first: usize, from: &[u8]) {
    let mut from = from.iter();
    let mut at = first % 8;
    for word in words.get(first / 8..).unwrap_or_default() {
        if from.len() == 0 {
            return;
        }
        let mut bytes = word.load(Ordering::Relaxed).to_le_bytes();
        bytes.iter_mut().skip(at).zip(from.by_ref()).for_each(|(to, from)| *to = *from);
        word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        at = 0;
    }
}

/// Copies bytes into words from the first one on, and fills the last one up with zeros.
pub fn store_whole(words: &[AtomicU64], from: &[u8]) {
    for (word, from) in words.iter().zip(from.chunks(8)) {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn bytes_are_where_they_belong() {
        for (first, length) in [(0, 0), (0, 8), (3, 2), (7, 2), (5, 11), (8, 16), (23, 1), (20, 9), (24, 1)] {
            let words: Vec<AtomicU64> = (0..3).map(|_| AtomicU64::new(u64::MAX)).collect();
            let from: Vec<u8> = (1..=length).collect();
            store(&words, first, &from);
            let mut expected = [0xff; 24].to_vec();
            expected.iter_mut().skip(first).zip(&from).for_each(|(to, from)| *to = *from);
            let mut all = [0; 24];
            assert_eq!((load(&words, 0, &mut all), &all[..]), (24, &expected[..]), "{length} at {first}");
            let mut some = [0; 11];
            let count = load(&words, first, &mut some);
            assert_eq!((count, &some[..count]), ((24 - first).min(11), &expected[first..first + count]));
        }
        let words = [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)];
        store_whole(&words, &[1; 9]);
        assert_eq!(words[1].load(Ordering::Relaxed), 1);
    }
}
