//! The first page tables of the kernel: 4 KiB pages, four levels, mapped by themselves.
//!
//! Source: APM volume 2, section 5.3. Accessed and dirty bits are left to the processor. Where the platform
//! marks private pages by a bit of the entry (the C-bit of SEV, 15.34.1), all entries have it.

use std::collections::BTreeMap;

use vcpu_abi::boot::SELF_MAP_SLOT;

use crate::PAGE_BYTES;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const ENTRIES: usize = 512;

/// What a page may be used for, by the kernel. There is no "write and execute".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Read only.
    Read,
    /// Read and write.
    Write,
    /// Read and execute.
    Execute,
}

impl Permission {
    fn bits(self) -> u64 {
        match self {
            Self::Read => PRESENT | NO_EXECUTE,
            Self::Write => PRESENT | WRITABLE | NO_EXECUTE,
            Self::Execute => PRESENT,
        }
    }
}

/// Why a page was not mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Something is mapped there already.
    #[error("virtual address {0:#x} is mapped twice")]
    Twice(u64),
    /// The address is in the slot of the self-map.
    #[error("virtual address {0:#x} lies where the page tables map themselves")]
    SelfMap(u64),
    /// No page left for a table.
    #[error("the window has no room for the page tables")]
    NoRoom,
}

/// Page tables under construction.
#[derive(Clone, Debug)]
pub struct PageTables {
    root: u64,
    private: u64,
    tables: BTreeMap<u64, [u64; ENTRIES]>,
}

impl PageTables {
    /// Tables with this page as their root, which maps itself. `private` is the bit that marks private pages;
    /// 0 where there is none.
    pub fn new(root: u64, private: u64) -> Self {
        let mut table = [0; ENTRIES];
        // By this entry the kernel reaches its tables: it has no other mapping of them.
        table[SELF_MAP_SLOT] = root | private | Permission::Write.bits();
        Self { root, private, tables: BTreeMap::from([(root, table)]) }
    }

    /// The root's physical address: what CR3 holds.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Maps one page. New tables come from `pages`.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn map(
        &mut self,
        address: u64,
        physical: u64,
        access: Permission,
        pages: impl FnMut() -> Option<u64>,
    ) -> Result<(), MapError> {
        self.map_marked(address, physical | self.private, access, pages)
    }

    /// The same for a page that is shared with the host. The tables on the way to it are private.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn map_shared(
        &mut self,
        address: u64,
        physical: u64,
        access: Permission,
        pages: impl FnMut() -> Option<u64>,
    ) -> Result<(), MapError> {
        self.map_marked(address, physical, access, pages)
    }

    fn map_marked(
        &mut self,
        address: u64,
        marked: u64,
        access: Permission,
        mut pages: impl FnMut() -> Option<u64>,
    ) -> Result<(), MapError> {
        // What is mapped there would be taken for a table.
        if index(address, 3) == SELF_MAP_SLOT {
            return Err(MapError::SelfMap(address));
        }
        let (mut table, private) = (self.root, self.private);
        for level in [3, 2, 1] {
            let entry = self.entry(table, index(address, level));
            table = match *entry {
                0 => {
                    let fresh = pages().ok_or(MapError::NoRoom)?;
                    // Permissions are decided at the last level alone.
                    *entry = fresh | private | PRESENT | WRITABLE;
                    fresh
                }
                // The mark lies among the bits of the address.
                entry => entry & ADDRESS & !private,
            };
        }
        let entry = self.entry(table, index(address, 0));
        // The later one would take the page from the first without a word.
        if *entry != 0 {
            return Err(MapError::Twice(address));
        }
        *entry = marked | access.bits();
        Ok(())
    }

    /// The tables by physical address, as the processor reads them.
    pub fn tables(&self) -> impl Iterator<Item = (u64, Vec<u8>)> + '_ {
        // By address, so that the same image is the same file.
        self.tables
            .iter()
            .map(|(gpa, table)| (*gpa, table.iter().flat_map(|entry| entry.to_le_bytes()).collect()))
    }

    fn entry(&mut self, table: u64, index: usize) -> &mut u64 {
        &mut self.tables.entry(table).or_insert([0; ENTRIES])[index]
    }
}

/// The index of an address into a table: level 0 maps pages, level 3 is the root.
fn index(address: u64, level: u32) -> usize {
    ((address / PAGE_BYTES) >> (9 * level)) as usize % ENTRIES
}

#[cfg(test)]
mod tests;
