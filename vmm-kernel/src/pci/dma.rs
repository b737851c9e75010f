//! Memory that the host's devices may access: a region of Plinth's memory that becomes nothing else any more.
//!
//! A device may still write when its driver has ended and it has been told to stop. So what was such memory
//! once is never a page table, nor a page of another kind of process; it goes to the next driver at most,
//! which has reset its device before. It is also the only memory of Plinth's that a platform with a host
//! that must not see the rest has to share.

use x86_64::PhysAddr;
use x86_64::structures::paging::PhysFrame;

use crate::layout::PAGE;
use crate::memory::{MemoryError, bitmap, temporary};
use crate::sync::SpinLock;

/// How many pages the region has: 1 MiB. It is taken when the first of them is wanted.
pub const PAGES: u16 = 256;
/// The most that are given at once: nothing preempts the kernel while it zeroes them.
pub const PIECE_PAGES_MAX: u16 = 16;

struct Region {
    /// Its first byte, once there is one.
    base: Option<u64>,
    /// Bit set: in use.
    used: [bool; PAGES as usize],
}

static REGION: SpinLock<Region> = SpinLock::new(Region { base: None, used: [false; PAGES as usize] });

/// Adjacent pages of the region, until it is dropped.
#[derive(Debug)]
pub struct Piece {
    first: u16,
    pages: u16,
}

impl Region {
    fn base(&mut self) -> Result<u64, MemoryError> {
        if let Some(base) = self.base {
            return Ok(base);
        }
        // For good: a device may still write there after it was told to stop.
        let base = bitmap::take_adjacent(PAGES as usize)?.start_address().as_u64();
        self.base = Some(base);
        Ok(base)
    }

    fn take(&mut self, pages: u16) -> Option<u16> {
        // The first that fits: drivers take a few pieces when they begin, and give all of them back at their
        // end.
        let last_start = PAGES.checked_sub(pages)?;
        let run = |first: u16| first as usize..(first + pages) as usize;
        let first = (0..=last_start)
            .find(|first| self.used.get(run(*first)).is_some_and(|run| !run.contains(&true)))?;
        self.used.get_mut(run(first))?.fill(true);
        Some(first)
    }
}

impl Piece {
    /// So many adjacent zeroed pages, and the physical address of the first.
    ///
    /// # Errors
    /// BadRange: none, or more than [`PIECE_PAGES_MAX`]. NoFrames: there are no more.
    pub fn try_new(pages: u16) -> Result<(Self, u64), MemoryError> {
        if !(1..=PIECE_PAGES_MAX).contains(&pages) {
            return Err(MemoryError::BadRange);
        }
        let (piece, physical) = {
            let mut region = REGION.lock();
            let base = region.base()?;
            let first = region.take(pages).ok_or(MemoryError::NoFrames)?;
            (Self { first, pages }, base + u64::from(first) * PAGE)
        };
        // The driver before, perhaps of another process, may have left its data there.
        for page in 0..u64::from(pages) {
            let frame = PhysFrame::containing_address(PhysAddr::new_truncate(physical + page * PAGE));
            temporary::with_shared_frame(frame, |words| words.fill(0));
        }
        Ok((piece, physical))
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let run = self.first as usize..(self.first + self.pages) as usize;
        if let Some(run) = REGION.lock().used.get_mut(run) {
            run.fill(false);
        }
    }
}

#[cfg(test)]
mod tests;
