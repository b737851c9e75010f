//! Where pages that are accessed by emulated instructions are: a translation is found again without a walk,
//! if all that it depended on is unchanged. As in the cache of code, that is CR3 and the tables' entries; the
//! other paging registers are the VMM's own to change, and it forgets everything then.

use alloc::boxed::Box;

use decoder::PAGE_BYTES;
use decoder::walk::{Access, Translation};

use super::table_path::TablePath;
use crate::vcpu::page::View;

const ENTRIES: usize = 64;

/// A page, for one kind of access.
#[derive(Clone, Copy)]
pub struct KnownPage {
    linear: u64,
    gpa: u64,
    access: Access,
    cr3: u64,
    path: TablePath,
}

impl KnownPage {
    /// No page: linear addresses are canonical.
    const NONE: Self =
        Self { linear: 1 << 63, gpa: 0, access: Access::fetch(0), cr3: 0, path: TablePath::NONE };

    /// What a walk in long mode found.
    pub fn new(page: View<'_>, linear: u64, access: Access, found: &Translation, path: TablePath) -> Self {
        let offset = linear % PAGE_BYTES;
        Self { linear: linear - offset, gpa: found.gpa - offset, access, cr3: page.cr3(), path }
    }

    #[inline(always)]
    fn holds(&self, page: View<'_>) -> bool {
        self.cr3 == page.cr3() && self.path.holds()
    }
}

/// One vCPU's cache: direct-mapped.
pub struct PageCache(Box<[KnownPage; ENTRIES]>);

impl PageCache {
    /// A cache that knows nothing. `None` if there is no memory.
    pub fn new() -> Option<Self> {
        Some(Self(alloc::vec![KnownPage::NONE; ENTRIES].into_boxed_slice().try_into().ok()?))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.fill(KnownPage::NONE);
    }

    #[inline(always)]
    fn index(linear: u64) -> usize {
        (linear / PAGE_BYTES) as usize % ENTRIES
    }

    /// The guest physical address of an access.
    #[inline(always)]
    pub fn find(&self, page: View<'_>, linear: u64, access: Access) -> Option<u64> {
        let known = &self.0[Self::index(linear)];
        // An address below the page wraps, and is too far.
        let offset = linear.wrapping_sub(known.linear);
        // What may be read may not always be written: an entry is good for its own kind of access only.
        let same = offset < PAGE_BYTES && access == known.access;
        (same && known.holds(page)).then_some(known.gpa + offset)
    }

    /// Remembers a page.
    pub fn insert(&mut self, known: KnownPage) {
        self.0[Self::index(known.linear)] = known;
    }
}
