//! Which page frames are free: a bitmap over what Plinth keeps of its window. Frames come as they were left;
//! [`frames`](super::frames) has them zeroed.

use x86_64::PhysAddr;
use x86_64::structures::paging::PhysFrame;

use super::MemoryError;
use crate::checks;
use crate::layout::PAGE;
use crate::sync::SpinLock;

/// The largest window: 128 MiB.
const MAX_FRAMES: usize = 32 * 1024;

struct Bitmap {
    /// Bit set: in use.
    used: [u64; MAX_FRAMES / 64],
    /// How many hold a frame that is in use besides the first.
    sharers: [u8; MAX_FRAMES],
    base: u64,
    frames: usize,
    free: usize,
    /// Where the search starts.
    next: usize,
}

static BITMAP: SpinLock<Bitmap> = SpinLock::new(Bitmap::new());

impl Bitmap {
    const fn new() -> Self {
        Self {
            used: [u64::MAX; MAX_FRAMES / 64],
            sharers: [0; MAX_FRAMES],
            base: 0,
            frames: 0,
            free: 0,
            next: 0,
        }
    }

    fn start(&mut self, base: u64, bytes: u64, first_free: u64) {
        // All in use at first: what is not given back below, the image and what lies beyond the window, is
        // nobody's to take.
        self.used.fill(u64::MAX);
        self.sharers.fill(0);
        (self.base, self.free) = (base, 0);
        self.frames = ((bytes / PAGE) as usize).min(MAX_FRAMES);
        let first = (first_free.saturating_sub(base)).div_ceil(PAGE) as usize;
        for index in first..self.frames {
            self.give(index);
        }
        self.next = first;
    }

    fn budget(&self) -> (u64, u64) {
        (self.frames as u64 * PAGE, self.free as u64 * PAGE)
    }

    fn index_of(&self, frame: PhysFrame) -> usize {
        // An address below the window wraps to an index beyond the last, which is nobody's frame.
        (frame.start_address().as_u64().wrapping_sub(self.base) / PAGE) as usize
    }

    fn is_free(&self, index: usize) -> bool {
        self.used.get(index / 64).is_some_and(|word| word & 1 << (index % 64) == 0)
    }

    fn set(&mut self, index: usize, used: bool) {
        if let Some(word) = self.used.get_mut(index / 64) {
            let bit = 1 << (index % 64);
            if used { *word |= bit } else { *word &= !bit }
        }
    }

    /// Makes a frame free, if it is one of ours and in use.
    fn give(&mut self, index: usize) {
        // A frame that came back twice would be counted twice.
        if index < self.frames && !self.is_free(index) {
            self.set(index, false);
            self.free += 1;
        }
    }

    /// One more holds a frame. `false`: as many as can be counted do already, or it is none of ours in use.
    fn share(&mut self, index: usize) -> bool {
        let is_held = index < self.frames && !self.is_free(index);
        let sharers = self.sharers.get_mut(index).filter(|_| is_held);
        // A count that ran over would free the frame while it is mapped.
        sharers.is_some_and(|sharers| sharers.checked_add(1).map(|more| *sharers = more).is_some())
    }

    /// One of several that hold a frame does not any more. `false`: it was the last.
    fn unshare(&mut self, index: usize) -> bool {
        let sharers = self.sharers.get_mut(index).filter(|sharers| **sharers > 0);
        sharers.is_some_and(|sharers| {
            *sharers -= 1;
            true
        })
    }

    fn take_adjacent(&mut self, count: usize) -> Option<usize> {
        // Bit by bit, from the first: it is for the boot, and for the memory of devices, which is taken once.
        let mut free = 0;
        let last = (0..self.frames).find(|&index| {
            free = if self.is_free(index) { free + 1 } else { 0 };
            free == count
        })?;
        // Taken only now, when all of them were found: with a run that is too short nothing has changed.
        let start = last + 1 - count;
        (start..start + count).for_each(|index| self.set(index, true));
        self.free -= count;
        Some(start)
    }

    fn take(&mut self) -> Option<usize> {
        let words = self.frames.div_ceil(64);
        // Where the last search ended: before that most frames are in use.
        let start = self.next / 64;
        for step in 0..words {
            let at = (start + step) % words;
            let word = *self.used.get(at)?;
            if word != u64::MAX {
                let index = at * 64 + word.trailing_ones() as usize;
                self.set(index, true);
                self.free -= 1;
                self.next = index;
                return Some(index);
            }
        }
        None
    }
}

/// Gives the allocator the memory from `base` to `base + bytes`, of which all below `first_free` is in use.
pub fn start(base: u64, bytes: u64, first_free: u64) {
    BITMAP.lock().start(base, bytes, first_free);
}

/// Takes a frame, contents as they were left.
// By itself: the check `entry-machine-check` stops the machine in here, while the lock is held.
#[inline(never)]
pub fn take() -> Result<PhysFrame, MemoryError> {
    let mut bitmap = BITMAP.lock();
    let index = bitmap.take().ok_or(MemoryError::NoFrames)?;
    Ok(PhysFrame::containing_address(PhysAddr::new(bitmap.base + index as u64 * PAGE)))
}

/// Takes `count` adjacent frames, contents as they were left. Returns the first.
pub fn take_adjacent(count: usize) -> Result<PhysFrame, MemoryError> {
    let mut bitmap = BITMAP.lock();
    let start = bitmap.take_adjacent(count).ok_or(MemoryError::NoFrames)?;
    Ok(PhysFrame::containing_address(PhysAddr::new(bitmap.base + start as u64 * PAGE)))
}

/// One more holds a frame: it is free when all of them have given it back.
pub fn share(frame: PhysFrame) -> Result<(), MemoryError> {
    let mut bitmap = BITMAP.lock();
    let index = bitmap.index_of(frame);
    if bitmap.share(index) { Ok(()) } else { Err(MemoryError::NoFrames) }
}

/// Gives a frame back. Nothing of who does may refer to it any more.
pub fn free(frame: PhysFrame) {
    {
        let mut bitmap = BITMAP.lock();
        let index = bitmap.index_of(frame);
        // Others hold it still, and it stays in use.
        if bitmap.unshare(index) {
            return;
        }
    }
    checks::tlb::frame_goes(frame);
    let mut bitmap = BITMAP.lock();
    let index = bitmap.index_of(frame);
    bitmap.give(index);
}

/// Bytes kept, and bytes free.
pub fn budget() -> (u64, u64) {
    BITMAP.lock().budget()
}

/// As [`budget`], for the end of the machine: `None` while somebody takes or gives a frame, since that may be
/// what a machine check has interrupted on this very processor.
pub fn budget_unless_busy() -> Option<(u64, u64)> {
    BITMAP.try_lock().map(|bitmap| bitmap.budget())
}

#[cfg(test)]
mod tests;
