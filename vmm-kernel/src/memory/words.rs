//! A page as words. Whoever sees a page may not be the only one: the processor
//! walks page tables, processes and guests write their memory, and the kernel's tables are everybody's. So a
//! page is looked at by volatile loads and stores behind a shared reference, of which there may be any
//! number.

use super::entry::Entry;
use crate::volatile::Volatile;

/// Words in a page, or entries in a page table.
pub const COUNT: usize = 512;

/// The words of a page.
#[repr(transparent)]
pub struct Words([Volatile<u64>; COUNT]);

impl Words {
    /// The word at an index, which is cut to those there are.
    pub fn at(&self, index: usize) -> &Volatile<u64> {
        // Cut, not checked: an index that is wrong stays within the page, and there is no panic to come of
        // it.
        &self.0[index % COUNT]
    }

    /// Stores the same word everywhere.
    pub fn fill(&self, word: u64) {
        self.0.iter().for_each(|place| place.set(word));
    }

    /// Loads all of them, one by one.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(Volatile::get)
    }

    /// The entry at an index, of a page table.
    pub fn entry(&self, index: usize) -> Entry {
        Entry::of_word(self.at(index).get())
    }

    /// Stores the entry at an index.
    pub fn set_entry(&self, index: usize, entry: Entry) {
        self.at(index).set(entry.word());
    }
}
