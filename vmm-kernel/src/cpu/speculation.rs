//! Measures against speculative execution with what another party left in the processor.
//!
//! On the way out of a guest they are in the entry code (`enter` of the platform's backend), which has a
//! variant with and one without them; here is the choice, made by the image, and what is done elsewhere.
//! docs/decisions.md says what is not done.
#![allow(unsafe_code, reason = "MSRs that command the branch predictors")]

use core::sync::atomic::{AtomicBool, Ordering};

use super::{cpuid, msr};

static GUARDED: AtomicBool = AtomicBool::new(false);
static HAS_IBPB: AtomicBool = AtomicBool::new(false);

/// Indirect branch prediction barrier, in PRED_CMD (APM volume 2, 3.2.9).
const IBPB: u64 = 1;
/// EFER.AIBRSE: branches of CPL 0 are not predicted by what others trained (APM volume 2, 3.1.7).
const AUTOMATIC_IBRS: u64 = 1 << 21;

/// Makes the choice; before any processor's system calls are switched on.
pub fn start(guarded: bool) {
    GUARDED.store(guarded, Ordering::Relaxed);
    HAS_IBPB.store(guarded && cpuid(0x8000_0008, 0).ebx & 1 << 12 != 0, Ordering::Relaxed);
}

/// Whether measures are taken.
pub fn is_guarded() -> bool {
    GUARDED.load(Ordering::Relaxed)
}

/// Switches on what lasts, on this processor, if it is there.
pub fn enable() {
    // A leaf beyond the last one repeats another's bits, so it is asked for only if it is there.
    let automatic = cpuid(0x8000_0000, 0).eax >= 0x8000_0021 && cpuid(0x8000_0021, 0).eax & 1 << 8 != 0;
    if is_guarded() && automatic {
        // SAFETY: the processor has the bit, and it only makes predictions poorer.
        unsafe { msr::write(msr::EFER, msr::read(msr::EFER) | AUTOMATIC_IBRS) };
    }
}

/// Another process's turn: what the last one and its guest taught the branch predictor is forgotten.
#[inline(always)]
pub fn forget_branches() {
    if HAS_IBPB.load(Ordering::Relaxed) {
        // SAFETY: the processor has the command.
        unsafe { msr::write(msr::PRED_CMD, IBPB) };
    }
}
