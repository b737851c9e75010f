//! The page-table entries behind a translation that is remembered.
//!
//! Nobody tells a VMM when a guest changes its page tables or flushes its TLB, so a translation is believed
//! only while the entries it came from are what they were: a load and a comparison each.
#![allow(unsafe_code, reason = "guest memory is looked at through addresses checked when the path was made")]

use decoder::walk::Trace;

use crate::guest_memory::GuestRam;

/// Levels of page tables that a path may have: four, or fewer with large pages.
const LEVELS: usize = 4;

/// Entries of eight bytes in guest memory: where each is in this process, and its value. Unused ones repeat
/// the first.
#[derive(Clone, Copy)]
pub struct TablePath([(u64, u64); LEVELS]);

impl TablePath {
    /// Of nothing: it must not be looked at.
    pub const NONE: Self = Self([(0, 0); LEVELS]);

    /// What a walk in long mode went through, if it can be checked later.
    pub fn of(trace: &Trace, ram: &GuestRam) -> Option<Self> {
        let steps = trace.entries();
        let first = *steps.first()?;
        let place = |(gpa, value): (u64, u64)| Some((ram.address(gpa, 8)?, value));
        // All places are used, whatever the number of levels: so there is no loop with an end to look up.
        let mut path = [place(first)?; LEVELS];
        if steps.len() > LEVELS {
            return None;
        }
        for (known, step) in path.iter_mut().zip(steps) {
            *known = place(*step)?;
        }
        Some(Self(path))
    }

    /// Whether the tables still say the same.
    #[inline(always)]
    pub fn holds(&self) -> bool {
        self.0.iter().all(|(address, value)| {
            // SAFETY: the address was checked to be guest memory, aligned, when the path was made; guest
            // memory stays mapped.
            unsafe { (*address as *const u64).read_volatile() == *value }
        })
    }
}
