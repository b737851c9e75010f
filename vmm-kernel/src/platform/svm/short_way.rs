//! What the entry code loads by itself before it enters a guest, where the general registers are not all that
//! its VMM has changed.
#![allow(unsafe_code, reason = "the entry code says by a pointer what it is about to enter")]

use vcpu_abi::registers::Groups;
use vcpu_abi::run_page::{RunPage, window};

use super::state;
use super::vmcb::Vmcb;
use crate::run_page::SharedRunPage;

/// Loads what most injections take, for a vCPU that may be entered at once. 0: done. Else nothing was done,
/// and the entry code goes the long way. Called by the entry code.
///
/// # Safety
/// The page is a vCPU's, which the calling thread may run.
pub unsafe extern "C" fn load_marked(page: *mut RunPage) -> u32 {
    // SAFETY: the caller's promise.
    let page = unsafe { SharedRunPage::new(page) };
    let dirty = Groups::from_bits_retain(page.dirty());
    let usual = Groups::GENERAL | Groups::INJECTION | Groups::TPR;
    // An interrupt and a window share the VMCB's one virtual interrupt.
    let shared = dirty.contains(Groups::INJECTION) && page.window() != window::NONE;
    // SAFETY: the caller's promise: a vCPU's pages are mapped for ever.
    let vmcb = unsafe { Vmcb::beside(page) };
    if !(dirty - usual).is_empty() || shared || state::load_usual(vmcb, page, dirty).is_err() {
        return 1;
    }
    page.set_dirty(0);
    0
}

#[cfg(test)]
mod tests;
