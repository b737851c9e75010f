//! Recent translations of one vCPU.
//!
//! Nobody tells a VMM when a guest changes its page tables or flushes its TLB. So an entry is believed only if the same
//! registers are in force and the page-table entries it came from are still what they were: a few reads, no walk.

use super::{Access, Paging, Translation, WalkError, translate};
use crate::slots::Slots;
use crate::{GuestMemory, PAGE_BYTES};

/// A translation of the first byte of a page, and what it was made for.
#[derive(Clone, Copy, Debug)]
struct Slot {
    page: u64,
    paging: Paging,
    access: Access,
    translation: Translation,
}

/// Up to `N` translations, one for each remainder of page numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cache<const N: usize>(Slots<Slot, N>);

impl<const N: usize> Cache<N> {
    /// What [`translate`] would find.
    ///
    /// # Errors
    /// Each [`WalkError`].
    #[inline]
    pub fn translate(
        &mut self,
        memory: &mut (impl GuestMemory + ?Sized),
        paging: &Paging,
        linear: u64,
        access: Access,
    ) -> Result<u64, WalkError> {
        let (page, offset) = (linear / PAGE_BYTES, linear % PAGE_BYTES);
        if let Some(slot) = self.0.get(page)
            && (slot.page, slot.access) == (page, access)
            && slot.paging == *paging
            && slot.translation.trace.still_holds(memory)
        {
            return Ok(slot.translation.gpa.wrapping_add(offset));
        }
        self.refill(memory, paging, linear, access)
    }

    #[cold]
    fn refill(
        &mut self,
        memory: &mut (impl GuestMemory + ?Sized),
        paging: &Paging,
        linear: u64,
        access: Access,
    ) -> Result<u64, WalkError> {
        let mut translation = translate(memory, paging, linear, access)?;
        let gpa = translation.gpa;
        // A probe leaves accessed and dirty bits clear, which is right for no other access.
        if !access.is_probe() {
            let (page, offset) = (linear / PAGE_BYTES, linear % PAGE_BYTES);
            translation.gpa = gpa.wrapping_sub(offset);
            self.0.set(page, Slot { page, paging: *paging, access, translation });
        }
        Ok(gpa)
    }
}
