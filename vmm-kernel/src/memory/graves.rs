//! Tables that nobody uses any more, until all their frames are given back: piece by piece, as it may be many
//! frames, and nothing preempts the kernel meanwhile.

use core::sync::atomic::{AtomicUsize, Ordering};

use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use super::entry::Entry;
use super::payer::{OWNED, Payer};
use super::temporary;
use super::words::COUNT;
use crate::sync::SpinLock;

/// How many there may be at a time. What finds no room is given back at once.
const GRAVES_MAX: usize = 32;

/// The root of some tables, and who paid for their frames.
struct Grave {
    root: PhysFrame,
    /// How many of the root's entries lead to tables of its own: of a process's half of them, as the others
    /// are the kernel's.
    own_entries: usize,
    payer: Payer,
}

static GRAVES: SpinLock<[Option<Grave>; GRAVES_MAX]> = SpinLock::new([const { None }; GRAVES_MAX]);
/// How many there are, at least as many as are in [`GRAVES`].
static COUNT_OF: AtomicUsize = AtomicUsize::new(0);

/// The frames of tables are to be given back: the root's, and what its first so many entries lead to. No
/// processor has any of them.
pub fn bury(root: PhysFrame, own_entries: usize, payer: Payer) {
    let grave = Grave { root, own_entries, payer };
    // Before it can be found: another processor may take it out at once, and counts it down.
    COUNT_OF.fetch_add(1, Ordering::SeqCst);
    let left_over = {
        let mut graves = GRAVES.lock();
        match graves.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(grave);
                None
            }
            None => Some(grave),
        }
    };
    if let Some(grave) = left_over {
        while grave.some() {}
        COUNT_OF.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether there is something to give back.
#[inline]
pub fn any() -> bool {
    COUNT_OF.load(Ordering::Relaxed) > 0
}

/// Gives back as much as is done in one go. Whoever calls this holds nothing. Returns whether there may be
/// more.
pub fn some() -> bool {
    // Taken out meanwhile: another processor takes another one.
    let Some(grave) = ({ GRAVES.lock().iter_mut().find_map(Option::take) }) else { return false };
    if !grave.some() {
        COUNT_OF.fetch_sub(1, Ordering::SeqCst);
        return any();
    }
    let Grave { root, own_entries, payer } = grave;
    COUNT_OF.fetch_sub(1, Ordering::SeqCst);
    bury(root, own_entries, payer);
    true
}

/// The first entry of a table, of the first so many, that leads to another table.
fn first_table(table: PhysFrame, entries: usize) -> Option<(usize, Entry)> {
    let is_table = |entry: &Entry| !entry.is_unused() && !entry.flags().contains(Flags::HUGE_PAGE);
    temporary::with_frame(table, |words| {
        (0..entries).map(|index| (index, words.entry(index))).find(|(_, entry)| is_table(entry))
    })
}

impl Grave {
    /// Gives back one table, with the pages that it owns. Returns whether more is left.
    fn some(&self) -> bool {
        let (mut table, mut entries, mut above) = (self.root, self.own_entries, None);
        for level in (1..=4).rev() {
            if level == 1 {
                self.give_pages(table);
                break;
            }
            // From the root anew for each table, so that between two of them nothing has to be remembered.
            let Some((index, entry)) = first_table(table, entries) else { break };
            above = Some((table, index));
            (table, entries) = (PhysFrame::containing_address(entry.address()), COUNT);
        }
        // No processor walks these tables any more, so the entry above may lead to a frame that is gone for a
        // moment.
        self.payer.give(table);
        if let Some((above, index)) = above {
            temporary::with_frame(above, |words| words.set_entry(index, Entry::UNUSED));
        }
        above.is_some()
    }

    /// Gives back the pages of a page table.
    fn give_pages(&self, table: PhysFrame) {
        const PIECE: usize = 32;
        for first in (0..COUNT).step_by(PIECE) {
            // Not the whole table: no stack frame of the kernel's may be over 1 KiB.
            let mut piece = [Entry::UNUSED; PIECE];
            temporary::with_frame(table, |words| {
                (first..).zip(&mut piece).for_each(|(index, place)| *place = words.entry(index));
            });
            for entry in &piece {
                if entry.flags().contains(OWNED) {
                    self.payer.give(PhysFrame::containing_address(entry.address()));
                }
            }
        }
    }
}
