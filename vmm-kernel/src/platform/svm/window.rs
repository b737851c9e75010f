//! The exits that a VMM asks for to inject an interrupt at: when the guest can take one, and when it writes
//! CR8.
//!
//! A window is a virtual interrupt that is intercepted (APM volume 2, 15.21.4). It ignores the task priority:
//! where the request's priority equals that, a processor keeps it and QEMU's emulation opens the window,
//! again and again. What the guest's task priority lets through is the VMM's to decide, which hears of each
//! write while it asks for that.
//!
//! While a window is asked for, writes of CR8 exit in any case: QEMU's emulation aborts at one when a virtual
//! interrupt waits.

use vcpu_abi::run_page::window;

use super::state;
use super::vmcb::{Vmcb, intercept_cr, intercept1, vintr};

/// Has the guest exit as `want` says ([`vcpu_abi::run_page::window`]). While an interrupt waits itself, it
/// has the one virtual interrupt, and the window has to be asked for again. Such an interrupt is delivered
/// before the guest can write CR8.
pub fn set(vmcb: &Vmcb, want: u32) {
    let control = &vmcb.control;
    let cr8 = if want & window::ALL != window::NONE { intercept_cr::CR8_WRITE } else { 0 };
    control.intercept_cr.update(|bits| bits & !intercept_cr::CR8_WRITE | cr8);
    if state::interrupt_requested(vmcb) {
        return;
    }
    let (request, intercept) = match want & window::OPEN {
        0 => (0, 0),
        _ => (vintr::IRQ | vintr::IGNORE_TPR | 0xf << vintr::PRIORITY_SHIFT, intercept1::VINTR),
    };
    control.vintr.update(|bits| bits & !vintr::REQUEST | request);
    control.intercept1.update(|bits| bits & !intercept1::VINTR | intercept);
}

#[cfg(test)]
mod tests;
