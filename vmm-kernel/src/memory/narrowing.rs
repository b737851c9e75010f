//! Mappings that are taken away or narrowed, in pieces, with the shootdown that belongs to it.

use core::ops::Range;

use super::MemoryError;
use super::edit::{Edit, Stale};
use super::tables::Tables;

/// What has tables that processors cache.
pub trait Cached {
    /// Runs `f` with the tables, which are locked.
    fn with_tables<R>(&self, f: impl FnOnce(&mut Tables) -> R) -> R;

    /// Has every processor forget what it may have cached of them. The caller holds no lock.
    fn shoot_down(&self);

    /// For the model of the TLBs: they were changed. Returns which change that was.
    fn tables_change(&self) -> u64;

    /// For the model of the TLBs: no processor has any of what a change took away.
    fn change_is_over(&self, change: u64);

    /// Entries of a range have been changed so; or, where something has failed on the way, perhaps some of
    /// them.
    fn edited(&self, _range: Range<u64>, _edit: Edit, _is_done: bool) {}

    /// So many pages of its own were given back.
    fn lost_pages(&self, _pages: u64) {}
}

/// A change that takes something away. When it is dropped, no processor has what it took in its TLB, and the
/// frames are given back: whoever drops it holds no lock.
pub struct Narrowing<'a, C: Cached> {
    of: &'a C,
    range: Range<u64>,
    edit: Edit,
    stale: Stale,
}

impl<'a, C: Cached> Narrowing<'a, C> {
    /// A change of a range, of which nothing is done yet.
    pub fn new(of: &'a C, range: Range<u64>, edit: Edit) -> Self {
        Self { of, range, edit, stale: Stale::new() }
    }

    /// Does as much as is done in one go. Returns whether there is more to do.
    pub fn some(&mut self) -> Result<bool, MemoryError> {
        // Where a piece begins, not where it ends: the last one is settled when this is dropped, with one
        // shootdown for all that was left.
        if self.stale.is_full() {
            self.settle();
        }
        let (range, edit, stale) = (self.range.clone(), self.edit, &mut self.stale);
        let stopped = self.of.with_tables(|tables| tables.edit(range, edit, stale));
        let changed = self.range.start..stopped.unwrap_or(self.range.end);
        self.of.edited(changed, edit, stopped.is_ok());
        self.range.start = stopped?;
        Ok(!self.range.is_empty())
    }

    /// What of the range is not done yet.
    pub fn left(&self) -> Range<u64> {
        self.range.clone()
    }

    fn settle(&mut self) {
        if self.stale.is_any() {
            let change = self.of.tables_change();
            self.of.shoot_down();
            self.of.change_is_over(change);
            // Frames go back behind the shootdown: until each processor has answered, a guest or a process
            // may still write to them.
            let payer = self.of.with_tables(|tables| tables.payer().clone());
            self.of.lost_pages(self.stale.forgotten(&payer));
        }
    }
}

impl<C: Cached> Drop for Narrowing<'_, C> {
    fn drop(&mut self) {
        self.settle();
    }
}
