//! Changes of what is mapped: leaves go, or become others; a large page of which only a part changes is split
//! first; tables that have become empty go as well.
//!
//! What goes may still be in the processors' TLBs. So it is not given back here, but noted in [`Stale`], and
//! given back when all of them have forgotten it.

use core::ops::Range;

use x86_64::PhysAddr;
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use super::entry::Entry;
use super::payer::{OWNED, Payer};
use super::tables::{TABLE, Tables, index};
use super::words::{COUNT, Words};
use super::{MemoryError, bitmap, temporary};

/// Marks a leaf that is there although no access is allowed: a bit that the processor ignores, so that the
/// entry of the page at address 0 is not taken for one without a page.
const HELD: Flags = Flags::BIT_10;
/// How many frames are noted until the processors have to forget them.
const STALE_MAX: usize = 48;
/// What is kept free of them for the tables on the way up.
const STALE_RESERVE: usize = 3;
/// How many entries are looked at in one go: nothing preempts the kernel meanwhile.
const STEPS: u32 = 1024;
/// What another table costs, and a split one, in the same coin.
const TABLE_STEPS: u32 = 32;
const SPLIT_STEPS: u32 = 256;

/// What to do with leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Take them out. Where there is none, nothing happens.
    Remove,
    /// The same, of leaves whose frames are not the tables' own; at one that is, it fails.
    RemoveForeign,
    /// Give them these flags; none at all leaves the page there, without any access. Each must be there.
    Set(Flags),
}

/// What processors may still have cached, although the tables do not say it any more.
#[derive(Debug)]
pub struct Stale {
    changed: bool,
    frames: [u64; STALE_MAX],
    count: usize,
    /// How many of the frames were pages, not tables.
    pages: u64,
}

impl Stale {
    /// Nothing.
    pub const fn new() -> Self {
        Self { changed: false, frames: [0; STALE_MAX], count: 0, pages: 0 }
    }

    /// Whether there is anything.
    pub fn is_any(&self) -> bool {
        self.changed
    }

    /// Whether no more fits in.
    pub fn is_full(&self) -> bool {
        self.count + STALE_RESERVE >= STALE_MAX
    }

    fn add(&mut self, frame: PhysFrame) {
        if let Some(place) = self.frames.get_mut(self.count) {
            *place = frame.start_address().as_u64();
            self.count += 1;
        }
    }

    /// Gives the frames back to who paid for them. No processor has any of it in its TLB now. Returns how
    /// many of them were pages.
    pub fn forgotten(&mut self, payer: &Payer) -> u64 {
        for frame in self.frames.iter().take(self.count) {
            payer.give(PhysFrame::containing_address(PhysAddr::new_truncate(*frame)));
        }
        (self.changed, self.count) = (false, 0);
        core::mem::take(&mut self.pages)
    }
}

impl Tables {
    /// Changes the leaves of a range, from its start on: as many as are done in one go and as `stale` has
    /// room for. Returns where it stopped, which is the end of the range or before it. What was changed
    /// before a failure stays changed.
    pub fn edit(&mut self, range: Range<u64>, edit: Edit, stale: &mut Stale) -> Result<u64, MemoryError> {
        let (payer, end) = (self.payer(), range.end);
        let mut walk = Walk { at: range.start, end, steps: STEPS, edit, stale, payer };
        walk.table(self.root(), 4)?;
        // An entry that has nothing is passed as a whole, and may end behind the range.
        Ok(walk.at.min(end))
    }
}

/// How many bytes an entry of a level maps.
const fn span(level: u32) -> u64 {
    1 << (12 + 9 * (level - 1))
}

/// A walk over the leaves of a range.
struct Walk<'a> {
    at: u64,
    end: u64,
    steps: u32,
    edit: Edit,
    stale: &'a mut Stale,
    payer: &'a Payer,
}

impl Walk<'_> {
    fn goes_on(&self, end: u64) -> bool {
        // Without room for its frames no leaf is taken out: given back before all processors have forgotten
        // them, they would be somebody else's while a guest still writes there.
        self.at < self.end.min(end) && self.steps > 0 && !self.stale.is_full()
    }

    /// Where the entry at a level that has the present address ends.
    fn entry_end(&self, level: u32) -> u64 {
        (self.at & !(span(level) - 1)) + span(level)
    }

    fn removes(&self) -> bool {
        !matches!(self.edit, Edit::Set(_))
    }

    /// Passes an entry that has nothing.
    fn pass(&mut self, level: u32) -> Result<(), MemoryError> {
        if !self.removes() {
            return Err(MemoryError::NotMapped);
        }
        self.at = self.entry_end(level);
        Ok(())
    }

    /// Changes a leaf, all of which is in the range.
    fn leaf(&mut self, words: &Words, level: u32, entry: Entry) -> Result<(), MemoryError> {
        // Whose frame it is and how large the page is are no permissions.
        let kept = entry.flags() & (OWNED | Flags::HUGE_PAGE);
        let new = match self.edit {
            // Taken out it would be nobody's, and a process may still have it mapped.
            Edit::RemoveForeign if kept.contains(OWNED) => return Err(MemoryError::NotMapped),
            Edit::Remove | Edit::RemoveForeign => Entry::UNUSED,
            Edit::Set(flags) if flags.is_empty() => Entry::encode(entry.address(), kept | HELD),
            Edit::Set(flags) => Entry::encode(entry.address(), kept | flags),
        };
        words.set_entry(index(self.at, level), new);
        self.stale.changed = true;
        if self.removes() && kept.contains(OWNED) {
            self.stale.add(PhysFrame::containing_address(entry.address()));
            self.stale.pages += 1;
        }
        self.at = self.entry_end(level);
        Ok(())
    }

    /// The entries of a page table.
    fn page_table(&mut self, table: PhysFrame) -> Result<(), MemoryError> {
        let end = self.entry_end(2);
        temporary::with_frame(table, |words| {
            while self.goes_on(end) {
                self.steps -= 1;
                let entry = words.entry(index(self.at, 1));
                if entry.is_unused() {
                    self.pass(1)?;
                } else {
                    self.leaf(words, 1, entry)?;
                }
            }
            Ok(())
        })
    }

    /// The entries of a table at a level, and all that is below.
    fn table(&mut self, table: PhysFrame, level: u32) -> Result<(), MemoryError> {
        if level == 1 {
            return self.page_table(table);
        }
        let end = self.entry_end(level + 1);
        while self.goes_on(end) {
            self.steps -= 1;
            let place = index(self.at, level);
            let entry = temporary::with_frame(table, |words| words.entry(place));
            // Asked anew for each entry: the range may begin and end in the middle of one.
            let is_whole = self.at.is_multiple_of(span(level)) && self.entry_end(level) <= self.end;
            if entry.is_unused() {
                self.pass(level)?;
            } else if !entry.flags().contains(Flags::HUGE_PAGE) {
                self.below(table, place, entry, level)?;
            } else if is_whole {
                temporary::with_frame(table, |words| self.leaf(words, level, entry))?;
            } else {
                // The table is complete before it is put in place: who walks meanwhile finds the large page
                // or its parts, and both say the same.
                let split = self.payer.take(bitmap::take).map(|table| split(table, entry, level))?;
                temporary::with_frame(table, |words| words.set_entry(place, split));
                self.stale.changed = true;
                self.steps = self.steps.saturating_sub(SPLIT_STEPS);
            }
        }
        Ok(())
    }

    /// The table that an entry leads to; it goes if nothing is left in it.
    fn below(&mut self, table: PhysFrame, place: usize, entry: Entry, level: u32) -> Result<(), MemoryError> {
        let child = PhysFrame::containing_address(entry.address());
        // A table costs more than an entry: it is mapped for a moment, and looked through for whether
        // anything is left in it.
        self.steps = self.steps.saturating_sub(TABLE_STEPS);
        self.table(child, level - 1)?;
        let is_empty = || temporary::with_frame(child, |words| words.iter().all(|word| word == 0));
        if self.removes() && is_empty() {
            temporary::with_frame(table, |words| words.set_entry(place, Entry::UNUSED));
            self.stale.changed = true;
            // A processor may be on its way through the table still: it goes when all have forgotten the way.
            self.stale.add(child);
        }
        Ok(())
    }
}

/// Has a table map what a large page did. Returns the entry for it.
fn split(table: PhysFrame, entry: Entry, level: u32) -> Entry {
    let mut flags = entry.flags();
    // In a page table's entry the same bit selects a memory type (PAT).
    flags.set(Flags::HUGE_PAGE, level > 2);
    temporary::with_frame(table, |words| {
        for index in 0..COUNT {
            let part = entry.address() + index as u64 * span(level - 1);
            words.set_entry(index, Entry::encode(part, flags));
        }
    });
    Entry::encode(table.start_address(), TABLE)
}

#[cfg(test)]
mod tests;
