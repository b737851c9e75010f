//! The exits that a VMM asks for to inject an interrupt at: when the guest can take one, and when it writes
//! CR8.
//!
//! A window is a virtual interrupt that is intercepted (APM volume 2, 15.21.4). It ignores the task priority:
//! where the request's priority equals that, a processor keeps it and QEMU's emulation opens the window,
//! again and again. What the guest's task priority lets through is the VMM's to decide, which hears of each
//! write while it asks for that.
//!
//! While a window is asked for, writes of CR8 exit in any case: QEMU's emulation aborts at one when a virtual
//! interrupt waits. That may be an interrupt to deliver, too: where its gate or its stack is not in order,
//! the emulation raises the fault and keeps the request, and the fault's handler may write CR8. A processor
//! takes the request back first (APM volume 2, 15.21.4), so only under emulation does an interrupt have those
//! writes exit, until one has come.

use vcpu_abi::run_page::window;

use super::vmcb::{Vmcb, intercept_cr, intercept1, vintr};

/// Whether a virtual interrupt waits: an interrupt to deliver, or a window.
#[inline(always)]
pub fn is_requested(vmcb: &Vmcb) -> bool {
    vmcb.control.vintr.get() & vintr::IRQ != 0
}

/// Whether an interrupt that was requested is not delivered yet. The window's request is the one that is
/// intercepted.
#[inline]
pub fn interrupt_requested(vmcb: &Vmcb) -> bool {
    vmcb.control.vintr.get() & vintr::IRQ != 0 && vmcb.control.intercept1.get() & intercept1::VINTR == 0
}

/// Has the guest exit as `want` says ([`vcpu_abi::run_page::window`]). While an interrupt waits itself, it
/// has the one virtual interrupt, and the window has to be asked for again.
pub fn set(vmcb: &Vmcb, want: u32) {
    let control = &vmcb.control;
    let cr8 = if want & window::ALL != window::NONE { intercept_cr::CR8_WRITE } else { 0 };
    control.intercept_cr.update(|bits| bits & !intercept_cr::CR8_WRITE | cr8);
    if interrupt_requested(vmcb) {
        control.intercept_cr.update(with_cr8_under_emulation);
        return;
    }
    let (request, intercept) = match want & window::OPEN {
        0 => (0, 0),
        _ => (vintr::IRQ | vintr::IGNORE_TPR | 0xf << vintr::PRIORITY_SHIFT, intercept1::VINTR),
    };
    control.vintr.update(|bits| bits & !vintr::REQUEST | request);
    control.intercept1.update(|bits| bits & !intercept1::VINTR | intercept);
}

/// Adds writes of CR8 to the intercepts under QEMU's emulation, which are told by those of CR0
/// ([`cr0_intercept`](super::cr0_intercept)).
#[inline(always)]
pub fn with_cr8_under_emulation(bits: u32) -> u32 {
    const { assert!(intercept_cr::CR8_WRITE == intercept_cr::CR0_WRITE << 8) };
    bits | (bits & intercept_cr::CR0_WRITE) << 8
}

/// The guest has written CR8, which exits no more if neither an interrupt waits nor a window is asked for.
pub fn cr8_was_written(vmcb: &Vmcb, want: u32) {
    if want & window::ALL == window::NONE && !is_requested(vmcb) {
        vmcb.control.intercept_cr.update(|bits| bits & !intercept_cr::CR8_WRITE);
    }
}

#[cfg(test)]
mod tests;
