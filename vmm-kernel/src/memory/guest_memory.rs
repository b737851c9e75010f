//! Guest memory: what of the host's memory is not Plinth's. Decided once, at boot.

use super::host_map::{MapError, Range, Ranges};
use crate::sync::SpinLock;

static GUEST: SpinLock<Ranges> = SpinLock::new(Ranges::new());

/// Sets it; at boot.
pub fn start(ranges: Ranges) {
    *GUEST.lock() = ranges;
}

/// Takes a range out for good; at boot.
pub fn withhold(range: Range) -> Result<(), MapError> {
    let mut guest = GUEST.lock();
    *guest = guest.without(range)?;
    Ok(())
}

/// The range with this index, of those that lie between two addresses: only what of them does.
pub fn range(start: u64, end: u64, index: usize) -> Option<Range> {
    let guest = GUEST.lock();
    let within = guest.as_slice().iter().map(|r| Range { start: r.start.max(start), end: r.end.min(end) });
    within.filter(|range| range.start < range.end).nth(index)
}

/// Whether all of a range is guest memory.
pub fn contains(start: u64, bytes: u64) -> bool {
    bytes > 0 && GUEST.lock().contains(start, bytes)
}

#[cfg(test)]
mod tests;
