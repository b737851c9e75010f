//! Page frames, zeroed, of what Plinth keeps of its window.

use x86_64::structures::paging::PhysFrame;

pub use super::bitmap::{budget, budget_unless_busy, free, start};
use super::{MemoryError, bitmap, temporary};

/// Takes a zeroed frame.
pub fn allocate_zeroed() -> Result<PhysFrame, MemoryError> {
    // Cleared for whoever gets it: what is in it may be another process's or a guest's.
    let frame = bitmap::take()?;
    temporary::with_frame(frame, |words| words.fill(0));
    Ok(frame)
}

/// Takes `count` adjacent zeroed frames, for what the processor wants contiguous; at boot only. Returns the
/// first.
pub fn allocate_contiguous(count: usize) -> Result<PhysFrame, MemoryError> {
    let first = bitmap::take_adjacent(count)?;
    for index in 0..count as u64 {
        temporary::with_frame(first + index, |words| words.fill(0));
    }
    Ok(first)
}

#[cfg(test)]
mod tests;
