//! Page tables are tables only when nothing is left in them of what they were before.

use super::ON;

/// A page has become one of the kernel's page tables, with these words: it must have been zeroed before.
pub fn is_empty(mut words: impl Iterator<Item = u64>) {
    if ON && let Some(word) = words.find(|word| *word != 0) {
        panic!("a page that has just become a page table has {word:#x} in it");
    }
}
