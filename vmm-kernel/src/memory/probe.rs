//! Whether there is memory where the host says so: what is written has to be read back. Before anything is
//! taken for a page frame.
#![allow(unsafe_code, reason = "writes to memory that is nobody's yet, and puts back what was there")]

use core::arch::x86_64::{_mm_clflush, _mm_mfence};

use x86_64::PhysAddr;
use x86_64::structures::paging::PhysFrame;

use super::self_map::{self, SPARE_PAGE};
use crate::layout::PAGE;

/// Whether the page at a physical address keeps what is written to it. Its last eight bytes are tried: a
/// device that the host calls memory has registers at the beginning, if anywhere.
pub fn holds(physical: u64) -> bool {
    let word = (SPARE_PAGE + PAGE - 8) as *mut u64;
    let frame = PhysFrame::containing_address(PhysAddr::new_truncate(physical));
    // SAFETY: there is no frame allocator yet, whose tables would need the spare page; one processor
    // runs, interrupts are off. The memory is not the image's, and holds the guest's payload at most, which
    // is put back.
    unsafe {
        self_map::repoint(SPARE_PAGE, Some((frame, self_map::MapKind::Data)));
        let before = word.read_volatile();
        // More than one value, since one may happen to be what an empty bus gives; the last is what was
        // there.
        let held = [!before, before ^ 0x5a5a_a5a5_5a5a_a5a5, before].into_iter().all(|value| {
            word.write_volatile(value);
            // Out of the cache, which holds anything (APM volume 2, 7.4: CLFLUSH writes back).
            _mm_clflush(word.cast());
            _mm_mfence();
            word.read_volatile() == value
        });
        self_map::repoint(SPARE_PAGE, None);
        held
    }
}
