//! The page-table entries that a walk used.

use super::entry;
use crate::{GuestMemory, Size};

/// The most levels a walk has.
const MAX_LEVELS: usize = 5;

/// Addresses and values of the entries of one walk, from the root to the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    entries: [(u64, u64); MAX_LEVELS],
    count: u8,
    /// How many entries from the root have no accessed bit.
    unmarked: u8,
    size: Size,
}

impl Default for Trace {
    fn default() -> Self {
        Trace::new(Size::B8, false)
    }
}

impl Trace {
    pub(super) fn new(size: Size, is_root_unmarked: bool) -> Self {
        Trace { entries: [(0, 0); MAX_LEVELS], count: 0, unmarked: u8::from(is_root_unmarked), size }
    }

    #[inline]
    pub(super) fn push(&mut self, gpa: u64, value: u64) {
        if let Some(slot) = self.entries.get_mut(usize::from(self.count)) {
            *slot = (gpa, value);
            self.count += 1;
        }
    }

    /// The entries' guest physical addresses and values, from the root to the leaf; none where paging is off.
    pub fn entries(&self) -> &[(u64, u64)] {
        self.entries.get(..usize::from(self.count)).unwrap_or(&[])
    }

    /// Sets accessed bits, and the leaf's dirty bit for a write. `false` if an entry changed meanwhile.
    pub(super) fn mark(&mut self, memory: &mut (impl GuestMemory + ?Sized), is_write: bool) -> bool {
        let leaf = usize::from(self.count).wrapping_sub(1);
        // From the root down, as a processor meets them: a leaf is never marked below an entry that is not.
        let entries = self.entries.iter_mut().enumerate().take(usize::from(self.count));
        for (level, (gpa, value)) in entries.skip(usize::from(self.unmarked)) {
            let dirty = if is_write && level == leaf { entry::DIRTY } else { 0 };
            let wanted = *value | entry::ACCESSED | dirty;
            // Nearly always: no write, so that no vCPU takes the cache line from others for nothing.
            if wanted == *value {
                continue;
            }
            // Other vCPUs and the guest's kernel change entries at the same time, and a bit set over theirs
            // would undo what they wrote.
            if memory.compare_exchange(*gpa, self.size, *value, wanted) != Some(*value) {
                return false;
            }
            // The trace has to say what memory holds now, or a cache would find it changed at the next look.
            *value = wanted;
        }
        true
    }
}
