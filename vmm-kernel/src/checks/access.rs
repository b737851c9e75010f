//! User memory is within the kernel's reach only while it is copied from or to: RFLAGS.AC, which opens SMAP,
//! is clear again behind each copy.

use x86_64::registers::rflags::{self, RFlags};

use super::ON;

/// A copy is over, be it whole or not.
pub fn is_over() {
    if ON && rflags::read().contains(RFlags::ALIGNMENT_CHECK) {
        panic!("SMAP: user memory is still within reach behind a copy");
    }
}
