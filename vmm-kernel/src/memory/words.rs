//! A page as words, and the words of a page table. Whoever sees a page may not be the only one: the processor
//! walks page tables, processes and guests write their memory, and the kernel's tables are everybody's. So a
//! page is looked at by volatile loads and stores behind a shared reference, of which there may be any
//! number.

use x86_64::PhysAddr;
use x86_64::structures::paging::PageTableFlags as Flags;

use crate::volatile::Volatile;

/// Words in a page, or entries in a page table.
pub const COUNT: usize = 512;
/// Where an entry has the address.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The words of a page.
#[repr(transparent)]
pub struct Words([Volatile<u64>; COUNT]);

impl Words {
    /// The word at an index, which is cut to those there are.
    pub fn at(&self, index: usize) -> &Volatile<u64> {
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

    /// The entry at an index.
    pub fn entry(&self, index: usize) -> Entry {
        Entry(self.at(index).get())
    }
}

/// An entry of a page table (APM volume 2, 5.3.3). [`Entry::new`] and [`Entry::address`] alone put an address
/// into a word and take it out: where a platform marks encrypted or shared pages in the address, they know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(pub u64);

impl Entry {
    /// An entry for what is at `address`.
    pub fn new(address: PhysAddr, flags: Flags) -> Self {
        Self(address.as_u64() | flags.bits())
    }

    /// Whether there is nothing in it.
    pub fn is_unused(self) -> bool {
        self.0 == 0
    }

    /// The address.
    pub fn address(self) -> PhysAddr {
        PhysAddr::new_truncate(self.0 & ADDRESS)
    }

    /// Everything else.
    pub fn flags(self) -> Flags {
        Flags::from_bits_retain(self.0 & !ADDRESS)
    }
}
