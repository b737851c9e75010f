//! Interrupts that are offered to the processor, which delivers them when the guest can take them (APM
//! volume 2, 15.36.16).
//!
//! No exit says that a guest at a lower VMPL can take an interrupt. So the one that the VMM waits to inject
//! is in the VMSA, as the virtual interrupt, for the time of an entry. Behind the exit it is taken back, if
//! the processor has not delivered it: until it is, another may come in its place, and the VMM knows of none
//! that is not its own.

use core::cell::Cell;

use plinth_snp_abi::vmsa::VintrCtrl;
use vcpu_abi::run_page::window;

use super::vmsa_page::VmsaPage;
use crate::run_page::SharedRunPage;

/// The lowest vector that a local APIC delivers.
const FIRST_VECTOR: u32 = 16;
const LAST_VECTOR: u32 = 0xff;

fn control(vmsa: VmsaPage) -> VintrCtrl {
    VintrCtrl::from_bits_retain(vmsa.vintr())
}

/// A vCPU's offer.
#[derive(Default)]
pub struct Offer {
    /// It is in the VMSA.
    is_made: Cell<bool>,
    /// The processor has delivered it, and the VMM has not been told.
    is_taken: Cell<bool>,
}

impl Offer {
    /// Before an entry: offers what the VMM has asked for. Its priority is its class, which the processor
    /// holds against the guest's task priority: that changes without an exit, too.
    pub fn make(&self, vmsa: VmsaPage, page: SharedRunPage) {
        let (vector, control) = (page.window_vector(), control(vmsa));
        let is_wanted = page.window() & window::ALL != window::NONE;
        let is_vector = (FIRST_VECTOR..=LAST_VECTOR).contains(&vector);
        // An interrupt that is loaded comes first; one that has been delivered is not delivered twice.
        if is_wanted && is_vector && !control.contains(VintrCtrl::IRQ) && !self.is_taken.get() {
            let offered = control.difference(VintrCtrl::IGNORE_TPR).with_interrupt(vector as u8);
            vmsa.set_vintr(offered.bits());
            self.is_made.set(true);
        }
    }

    /// After an exit, before anything else looks at the VMSA: takes the offer back, if it is still there.
    pub fn withdraw(&self, vmsa: VmsaPage) {
        if !self.is_made.take() {
            return;
        }
        // The processor has taken the request back when it has delivered the interrupt.
        self.is_taken.set(!control(vmsa).contains(VintrCtrl::IRQ));
        vmsa.set_vintr(control(vmsa).difference(VintrCtrl::IRQ).bits());
    }

    /// Whether an interrupt was delivered that the VMM has not been told of. It is told now.
    pub fn take_delivered(&self) -> bool {
        self.is_taken.take()
    }
}

#[cfg(test)]
mod tests;
