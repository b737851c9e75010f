//! Where pages that are accessed by emulated instructions are: a translation is found again without a walk,
//! if all that it depended on is unchanged.

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
    cr0: u64,
    cr3: u64,
    cr4: u64,
    efer: u64,
    path: TablePath,
}

impl KnownPage {
    /// No page: linear addresses are canonical.
    const NONE: Self = Self {
        linear: 1 << 63,
        gpa: 0,
        access: Access::fetch(0),
        cr0: 0,
        cr3: 0,
        cr4: 0,
        efer: 0,
        path: TablePath::NONE,
    };

    /// What a walk in long mode found.
    pub fn new(page: View<'_>, linear: u64, access: Access, found: &Translation, path: TablePath) -> Self {
        let offset = linear % PAGE_BYTES;
        let (cr0, cr3, cr4, efer) = (page.cr0(), page.cr3(), page.cr4(), page.efer());
        Self { linear: linear - offset, gpa: found.gpa - offset, access, cr0, cr3, cr4, efer, path }
    }

    #[inline(always)]
    fn holds(&self, page: View<'_>) -> bool {
        self.cr0 == page.cr0()
            && self.cr3 == page.cr3()
            && self.cr4 == page.cr4()
            && self.efer == page.efer()
            && self.path.holds()
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
        let offset = linear.wrapping_sub(known.linear);
        let same = offset < PAGE_BYTES && access == known.access;
        (same && known.holds(page)).then_some(known.gpa + offset)
    }

    /// Remembers a page.
    pub fn insert(&mut self, known: KnownPage) {
        self.0[Self::index(known.linear)] = known;
    }
}
