//! Physical memory through the identity mapping of the first 4 GiB.
//!
//! Invariants: the loader's own image is never handed out; the file is read through a slice of its own
//! ([`Physical::file`]), which the survey keeps apart from everything that is written.
#![allow(unsafe_code, reason = "physical memory is reached by address")]

use pvh_loader::extents::Extent;
use pvh_loader::memory::Memory;
use pvh_loader::survey::REACH;

/// The first 4 GiB, but for address zero (no reference may be null) and the loader. QEMU puts tables in the
/// first page.
pub struct Physical(());

unsafe extern "C" {
    static loader_start: u8;
    static loader_end: u8;
}

/// The memory. To be called once: whoever holds it is the only one to touch memory other than the loader's.
pub fn take() -> Physical {
    Physical(())
}

/// Where the loader itself lies, with all it uses.
pub fn loader() -> Extent {
    Extent { start: (&raw const loader_start) as u64, end: (&raw const loader_end) as u64 }
}

impl Physical {
    /// The file's bytes, for as long as the program runs. The caller writes nowhere in `place` from now on.
    pub fn file(&self, place: Extent) -> Option<&'static [u8]> {
        let (address, bytes) = bounds(place)?;
        // SAFETY: mapped, not the loader's, and by this function's contract not written any more: the survey
        // finds every write, and the file is moved before one would hit it.
        Some(unsafe { core::slice::from_raw_parts(address as *const u8, bytes) })
    }
}

impl Memory for Physical {
    fn slice(&self, gpa: u64, bytes: u64) -> Option<&[u8]> {
        let (address, bytes) = bounds(Extent::new(gpa, bytes)?)?;
        // SAFETY: mapped, not the loader's, and borrowed from `self` like every slice that is written
        // through. Where no RAM answers, reads give ones.
        Some(unsafe { core::slice::from_raw_parts(address as *const u8, bytes) })
    }

    fn slice_mut(&mut self, gpa: u64, bytes: u64) -> Option<&mut [u8]> {
        let (address, bytes) = bounds(Extent::new(gpa, bytes)?)?;
        // SAFETY: mapped, not the loader's, borrowed mutably from `self`; the file's slice lies elsewhere,
        // see `file`.
        Some(unsafe { core::slice::from_raw_parts_mut(address as *mut u8, bytes) })
    }
}

fn bounds(extent: Extent) -> Option<(usize, usize)> {
    let there = Extent { start: 1, end: REACH }.contains(extent) && !extent.overlaps(loader());
    there.then_some((extent.start as usize, extent.bytes() as usize))
}
