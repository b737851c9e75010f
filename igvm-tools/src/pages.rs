//! The pages of an image by guest physical address.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::PAGE_BYTES;

/// Pages in ascending order. A page of zeros holds no data: the loader makes it.
#[derive(Clone, Debug, Default)]
pub struct Pages(BTreeMap<u64, Vec<u8>>);

/// Two parts of an image claim one page, or one runs past the end of the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two parts of the image claim the page at {0:#x}")]
pub struct Claimed(pub u64);

impl Pages {
    /// Puts `bytes` at the page-aligned `gpa`, the rest of `total` bytes being zeros.
    ///
    /// # Errors
    /// [`Claimed`] if any of the pages is already there.
    pub fn add(&mut self, gpa: u64, bytes: &[u8], total: u64) -> Result<(), Claimed> {
        // Behind the bytes there are empty chunks, that is pages of zeros, as many as are asked for.
        let chunks = bytes.chunks(PAGE_BYTES as usize).chain(std::iter::repeat(&[][..]));
        let count = total.max(bytes.len() as u64).div_ceil(PAGE_BYTES);
        for (index, chunk) in (0..count).zip(chunks) {
            let at = index
                .checked_mul(PAGE_BYTES)
                .and_then(|offset| gpa.checked_add(offset))
                .ok_or(Claimed(gpa))?;
            let zero = chunk.iter().all(|byte| *byte == 0);
            match self.0.entry(at) {
                Entry::Vacant(place) => place.insert(if zero { Vec::new() } else { chunk.to_vec() }),
                // The loader would put one over the other without a word.
                Entry::Occupied(_) => return Err(Claimed(at)),
            };
        }
        Ok(())
    }

    /// The pages, lowest first. Data may be shorter than a page, the rest being zeros.
    pub fn into_iter_ascending(self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_split_and_zeros_left_out() {
        let mut pages = Pages::default();
        let mut bytes = vec![0; 4096];
        bytes.extend([1, 2, 3]);
        pages.add(0x3000, &bytes, 3 * 4096).unwrap();
        pages.add(0x1000, &[], 4096).unwrap();
        let all: Vec<_> = pages.into_iter_ascending().collect();
        assert_eq!(all, [(0x1000, vec![]), (0x3000, vec![]), (0x4000, vec![1, 2, 3]), (0x5000, vec![])]);
    }

    #[test]
    fn a_page_has_one_owner() {
        let mut pages = Pages::default();
        pages.add(0x3000, &[1], 4096).unwrap();
        assert_eq!(pages.add(0x2000, &[1; 4097], 0), Err(Claimed(0x3000)));
        assert_eq!(pages.add(u64::MAX - 4095, &[1; 4097], 0), Err(Claimed(u64::MAX - 4095)));
    }
}
