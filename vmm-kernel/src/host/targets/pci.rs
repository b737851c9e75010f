//! What the host's configuration space says when a function is claimed.

use std::cell::Cell;

use crate::layout::PAGE;
use crate::pci::bars::{self, WINDOW};
use crate::pci::config::Config;
use crate::pci::message::Table;

/// Answers with one double word of the input after the other, and all ones behind its end.
struct Answers<'a>(Cell<&'a [u8]>);

impl Answers<'_> {
    fn next(&self) -> u32 {
        let Some((word, rest)) = self.0.get().split_first_chunk() else { return u32::MAX };
        self.0.set(rest);
        u32::from_le_bytes(*word)
    }
}

impl Config for Answers<'_> {
    fn read(&self, _: u8) -> u32 {
        self.next()
    }

    fn write(&self, _: u8, _: u32) {}
}

/// Finds out the sizes of BARs, checks the places that the input begins with, and looks for the table of
/// messages. What is let through is in the window, whole pages of its own, and the table is in it.
///
/// # Panics
/// If a property does not hold.
pub fn claim_function(input: &[u8]) {
    let answers = Answers(Cell::new(input));
    let addresses = core::array::from_fn(|_| answers.next());
    let sizes = bars::sizes(&answers);
    let Ok(places) = bars::check(&sizes, addresses, [].iter()) else { return };
    let pages = |placed: &bars::Placed| {
        let end = u64::from(placed.address) + u64::from(placed.bytes).next_multiple_of(PAGE);
        u64::from(placed.address)..end
    };
    let mut ranges: Vec<_> = places.iter().filter(|placed| placed.bytes != 0).map(pages).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    for range in &ranges {
        assert!(range.start >= u64::from(WINDOW.start) && range.end <= u64::from(WINDOW.end), "{range:x?}");
        assert!(range.start.is_multiple_of(PAGE), "{range:x?}");
    }
    assert!(ranges.is_sorted_by(|a, b| a.end <= b.start), "{ranges:x?}");
    if let Some(table) = Table::find(&answers, &places) {
        let placed = places[table.bar];
        let whole = pages(&placed).end - u64::from(placed.address);
        assert!(table.pages().end <= whole, "{table:?} in {placed:?}");
        assert!(table.check(2048).is_err() && table.check(u32::MAX).is_err(), "{table:?}");
    }
}
