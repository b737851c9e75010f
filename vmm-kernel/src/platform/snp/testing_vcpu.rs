//! A vCPU's pages for the tests: a VMSA before a run page, as the kernel maps them, in memory of the
//! program's own.
#![allow(unsafe_code, reason = "pages that lie side by side and are shared, as in the kernel")]

use plinth_snp_abi::vmsa::Vmsa;
use vcpu_abi::exit::ExitRecord;
use vcpu_abi::registers::EventInjection;
use vcpu_abi::run_page::RunPage;

use super::vmsa_page::VmsaPage;
use crate::layout::PAGE;
use crate::run_page::SharedRunPage;

#[repr(C, align(4096))]
struct Place([u64; 1024]);

/// The pages.
pub struct Pages(*mut Place);

impl Pages {
    /// New ones, zeroed.
    pub fn new() -> Self {
        Self(Box::into_raw(Box::new(Place([0; 1024]))))
    }

    fn run_page(&self) -> *mut RunPage {
        // SAFETY: the second of the two pages.
        unsafe { self.0.byte_add(PAGE as usize).cast() }
    }

    /// Both.
    pub fn parts(&self) -> (VmsaPage, SharedRunPage) {
        // SAFETY: the first of the two pages, which are there as long as `self`, and which nobody else uses.
        let vmsa = unsafe { VmsaPage::new(self.0 as u64) };
        // SAFETY: as above, of the second one.
        (vmsa, unsafe { SharedRunPage::new(self.run_page()) })
    }

    /// What is in the VMSA.
    pub fn vmsa(&self) -> Vmsa {
        // SAFETY: as in `parts`; every bit pattern is a value.
        unsafe { self.0.cast::<Vmsa>().read_volatile() }
    }

    /// Replaces what is in the VMSA, as a processor does.
    pub fn set_vmsa(&self, vmsa: &Vmsa) {
        // SAFETY: as in `parts`.
        unsafe { self.0.cast::<Vmsa>().write_volatile(*vmsa) };
    }

    /// The record of the last exit.
    pub fn exit(&self) -> ExitRecord {
        // SAFETY: as in `parts`; every bit pattern is a record.
        unsafe { (&raw const (*self.run_page()).exit).read_volatile() }
    }

    /// An event, as a VMM asks for it.
    pub fn set_injection(&self, event: EventInjection) {
        // SAFETY: as in `parts`.
        unsafe { (&raw mut (*self.run_page()).injection).write_volatile(event) };
    }

    /// A window, as a VMM asks for it.
    pub fn set_window(&self, window: u32) {
        // SAFETY: as in `parts`.
        unsafe { (&raw mut (*self.run_page()).window).write_volatile(window) };
    }

    /// What the window is for, as a VMM says it.
    pub fn set_window_vector(&self, vector: u32) {
        // SAFETY: as in `parts`.
        unsafe { (&raw mut (*self.run_page()).window_vector).write_volatile(vector) };
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: made by `new`.
        drop(unsafe { Box::from_raw(self.0) });
    }
}
