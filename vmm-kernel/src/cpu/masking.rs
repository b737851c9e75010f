//! Interrupts are off whenever the kernel runs, but for the moments that [`Unmasked`] lasts: the one place
//! where the kernel turns them on and off. A process and a guest run with them on, which the entry code loads
//! with their flags.
//!
//! Where the host delivers its events by an exception that ignores RFLAGS.IF (#HV of SEV-SNP), a backend
//! makes software state of it here: [`Unmasked`] takes what has come before it sets IF, and the handler of
//! #HV leaves what comes while [`allowed_in`] says no.
#![allow(unsafe_code, reason = "STI and CLI, around nothing that interrupts could disturb")]

use core::arch::asm;

use super::interrupts::Frame;
use super::masked_time;

/// RFLAGS.IF.
const INTERRUPTS: u64 = 1 << 9;

/// As long as it lasts, interrupts are taken. Who begins it holds no lock and no borrow of what a handler
/// uses.
struct Unmasked(());

impl Unmasked {
    /// Takes what is pending.
    #[inline(always)]
    fn begin() -> Self {
        masked_time::end();
        // SAFETY: the handlers keep every register. Interrupts are recognised behind the instruction that
        // follows STI.
        unsafe { asm!("sti", "nop", options(nostack)) };
        Self(())
    }

    /// Waits for an interrupt. None is lost: one that is pending ends the HLT, which follows STI at once.
    #[inline(always)]
    fn begin_halted() -> Self {
        masked_time::end();
        // SAFETY: as above; an interrupt ends it.
        unsafe { asm!("sti", "hlt", options(nostack)) };
        Self(())
    }
}

impl Drop for Unmasked {
    #[inline(always)]
    fn drop(&mut self) {
        mask();
        masked_time::begin();
    }
}

/// Interrupts are off from here on.
#[inline(always)]
fn mask() {
    // SAFETY: nothing waits for an interrupt.
    unsafe { asm!("cli", options(nostack)) };
}

/// Lets interrupts that are pending be taken, here and now. The caller holds no lock and no borrow of what a
/// handler uses.
#[inline]
pub fn take_pending() {
    drop(Unmasked::begin());
}

/// Waits for an interrupt, and takes it. The caller holds no lock and no borrow of what a handler uses.
pub fn wait() {
    drop(Unmasked::begin_halted());
}

/// Stops this processor for ever.
pub fn stop() -> ! {
    loop {
        mask();
        // SAFETY: what ends it, an NMI, leads back here.
        unsafe { asm!("hlt", options(nostack)) };
    }
}

/// Whether what was interrupted had interrupts on.
pub const fn allowed_in(frame: &Frame) -> bool {
    frame.rflags & INTERRUPTS != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_interrupted_says_whether_it_allowed_it() {
        let frame = |rflags| Frame {
            gpr: [0; 15],
            vector: 28,
            error_code: 0,
            rip: 0,
            cs: 8,
            rflags,
            rsp: 0,
            ss: 0x10,
        };
        for (rflags, expected) in [(0x202, true), (0x2, false), (0x200, true), (!0x200, false)] {
            assert_eq!(allowed_in(&frame(rflags)), expected, "{rflags:#x}");
        }
    }
}
