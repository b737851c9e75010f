//! A vCPU as this backend has it: what the kernel does with a vCPU, in terms of the VMSA of VMPL1.
//!
//! One vCPU's VMSA is the host's to run at a time: the one that is selected.
#![allow(unsafe_code, reason = "the page of a VMSA is mapped at an address of its own")]

use core::cell::Cell;

use plinth_snp_abi::rmp::{PageSize, Permissions, RmpAttributes};
use vcpu_abi::exit::{ExitFlags, reason};
use vcpu_abi::registers::Groups;
use vcpu_abi::status::Status;
use vcpu_abi::xcr0;

use super::exit::{self, Exit};
use super::offer::Offer;
use super::state::{self, FEATURES, LoadError, VMPL};
use super::vmsa_page::VmsaPage;
use super::{accounts, backend, exception, ghcb, host, word};
use crate::cpu::{fpu, this_cpu};
use crate::layout::PAGE;
use crate::run_page::SharedRunPage;

pub use super::nested::AddressSpace;

/// So many times in a row the host may come back without having run the guest: by then it does not want to,
/// or its processor refuses the registers.
const REFUSALS_MAX: u32 = 256;

/// A page that is a VMSA, or none any more: no lower VMPL may do anything with it.
const fn attributes(is_vmsa: bool) -> RmpAttributes {
    RmpAttributes { vmpl: VMPL, permissions: Permissions::empty(), is_vmsa }
}

/// The backend's part of a vCPU. Its methods are for the thread that has claimed the vCPU, on its processor.
pub struct BackendVcpu {
    page: SharedRunPage,
    vmsa: VmsaPage,
    /// The VMSA's guest physical address.
    gpa: u64,
    /// How often in a row the guest did not run.
    refusals: Cell<u32>,
    /// The interrupt that the VMM waits to inject.
    offer: Offer,
}

impl BackendVcpu {
    /// The backend's page of a vCPU is its VMSA, at `physical`, mapped before the run page. It is reset.
    ///
    /// # Safety
    /// The page before the run page is mapped as long as this is there, and nobody else's.
    ///
    /// # Errors
    /// [`Status::BadOperation`]: for another VM than the one that may have guest memory, where the page can't
    /// be a VMSA, or the host runs none.
    pub unsafe fn try_new(page: SharedRunPage, physical: u64, space: AddressSpace) -> Result<Self, Status> {
        if !host::has_vmpls() {
            log::error!("the host runs no guests at other VMPLs");
            return Err(Status::BadOperation);
        }
        // KVM does not run a VMSA at the start of a region of 2 MiB, for an erratum.
        if !space.may_have_guests() || physical.is_multiple_of(PageSize::Large.bytes()) {
            return Err(Status::BadOperation);
        }
        // SAFETY: the promise of the caller.
        let vmsa = unsafe { VmsaPage::new(page.address() as u64 - PAGE) };
        let vcpu = Self { page, vmsa, gpa: physical, refusals: Cell::new(0), offer: Offer::default() };
        vcpu.reset();
        accounts::adjust(physical / PAGE, attributes(true)).map_err(|error| {
            log::error!("the page {physical:#x} can't be a VMSA: {error:?}");
            Status::BadOperation
        })?;
        Ok(vcpu)
    }

    /// Puts all registers into the state after a reset.
    fn reset(&self) {
        self.refusals.set(0);
        state::reset(self.vmsa, backend::top_of_memory());
    }

    /// Exceptions of a lower VMPL are not to be intercepted here: nothing is done.
    pub fn set_exceptions(&self, exceptions: u32) {
        if exceptions != 0 {
            log::warn!("exceptions of guests are no exits on SEV-SNP");
        }
    }

    /// Loads the groups that the VMM marked from the run page, but those of the FPU.
    ///
    /// # Errors
    /// When they are refused. A state that cannot be entered leaves the vCPU reset.
    pub fn load(&self, dirty: Groups) -> Result<(), LoadError> {
        let loaded = state::load(self.vmsa, self.page, dirty);
        // Some groups are loaded by now: what is there is neither the old state nor the new one.
        if loaded == Err(LoadError::NotEnterable) {
            self.reset();
        }
        loaded
    }

    /// Stores groups in the run page, and returns which of those asked for are this backend's.
    pub fn store(&self, groups: Groups) -> Groups {
        state::store_requested(self.vmsa, self.page, groups);
        groups & state::REQUESTED
    }

    /// XCR0, which is in the VMSA.
    pub fn own_xcr0(&self) -> Option<u64> {
        Some(self.vmsa.xcr0())
    }

    /// Sets XCR0. Returns whether it is one that the processor takes.
    pub fn set_own_xcr0(&self, value: u64) -> Option<bool> {
        let is_valid = xcr0::is_valid(value, fpu::supported_states());
        if is_valid {
            self.vmsa.set_xcr0(value);
        }
        Some(is_valid)
    }

    /// Fills the record of a run that ends for a reason that is not the guest's.
    pub fn report(&self, why: u32) {
        self.tell(exit::report(self.vmsa, self.page, why));
    }

    /// An exit that is recorded says as well that an offered interrupt was delivered before it.
    fn tell(&self, exit: Exit) -> Exit {
        if exit == Exit::Vmm && self.offer.take_delivered() {
            self.page.add_flags(ExitFlags::DELIVERED.bits());
        }
        exit
    }

    /// There are no exits for windows: [`enter`](Self::enter) looks whether one is open, and offers the
    /// interrupt.
    pub fn set_windows(&self) {}

    /// Whether the entry code could enter the guest by itself: it can't.
    pub fn has_windows(&self) -> bool {
        false
    }

    /// Makes the vCPU the one that this processor enters next.
    pub fn select(&self) {
        let ready = &this_cpu().entry.ready;
        if ready.select(self.page.address() as u64, self.gpa) {
            host::with_page(|page| ghcb::set_vmsa(page, VMPL, self.gpa, FEATURES.bits()));
            // What the processor has cached may be another vCPU's, or of what has been taken away.
            self.vmsa.set_pcpu_id(0);
        }
    }

    /// Enters the guest and returns with its next exit, which is recorded. The vCPU is the one selected.
    pub fn enter(&self) -> Exit {
        if state::is_window_open(self.vmsa, self.page) {
            return self.tell(exit::report(self.vmsa, self.page, reason::INTERRUPT_WINDOW));
        }
        state::load_others(self.vmsa, self.page);
        self.offer.make(self.vmsa, self.page);
        self.vmsa.make_runnable();
        let result = word::run_vmpl(&mut host::Msr, VMPL);
        // First of all: from here on it is the last exit's, and nobody else's.
        self.vmsa.make_unrunnable();
        self.offer.withdraw(self.vmsa);
        if let Err(error) = result {
            log::error!("the host does not run a guest: {error}");
            return Exit::Refused;
        }
        if exit::is_not_validated(self.vmsa) && accounts::is_accepted(self.vmsa.exit_info_2() / PAGE) {
            exception::end_by_lost_page(self.vmsa.exit_info_2());
        }
        let ran = exit::has_run(self.vmsa);
        self.refusals.set(if ran { 0 } else { self.refusals.get() + 1 });
        if self.refusals.get() > REFUSALS_MAX {
            log::error!("the host does not run a guest, and does not say so");
            return Exit::Refused;
        }
        self.tell(exit::record(self.vmsa, self.page))
    }

    /// After an exit for the host, before the next entry: an event that was being delivered is delivered
    /// then.
    pub fn redeliver(&self) {
        state::redeliver(self.vmsa);
        // An entry loads what the run page has.
        state::store_general(self.vmsa, self.page);
    }

    /// After [`Exit::Refused`]: the run ends.
    pub fn after_refusal(&self) -> Option<u32> {
        self.reset();
        Some(reason::INVALID_STATE)
    }
}

impl Drop for BackendVcpu {
    fn drop(&mut self) {
        // It has been unrunnable since its last exit. The host may hold on to its address, but finds no VMSA
        // there any more.
        if let Err(error) = accounts::adjust(self.gpa / PAGE, attributes(false)) {
            // A processor that runs it although no entry lasts: the host's doing.
            exception::end_by_busy_vmsa(self.gpa, error);
        }
        let ready = &this_cpu().entry.ready;
        ready.deselect();
        host::with_page(|page| ghcb::forget_vmsa(page, VMPL));
    }
}
