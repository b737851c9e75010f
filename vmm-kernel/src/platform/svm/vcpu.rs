//! A vCPU as this backend has it: what the kernel does with a vCPU, in terms of the VMCB.
#![allow(unsafe_code, reason = "enters a guest")]

use core::cell::Cell;
use core::ops::Range;

use vcpu_abi::exit::reason;
use vcpu_abi::registers::Groups;
use vcpu_abi::run_page;
use vcpu_abi::status::Status;
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use super::enter::enter;
use super::exit::{self, Exit};
use super::state::{self, LoadError};
use super::vmcb::{Vmcb, intercept_exceptions, intercept1};
use super::{maps, tlb, tlb_model, tsc_aux, window};
use crate::cpu::{local_apic, masking, this_cpu};
use crate::memory::edit::Edit;
use crate::memory::tables::Tables;
use crate::memory::{MemoryError, frames};
use crate::run_page::SharedRunPage;

/// The guest memory that a vCPU runs in.
#[derive(Clone, Copy, Debug)]
pub struct AddressSpace {
    /// Physical address of the nested tables' root.
    pub root: u64,
    /// Number of the VM among those there are, from 0.
    pub number: u32,
}

impl AddressSpace {
    /// The address-space identifier, which a VM's vCPUs share. 0 is the host's.
    pub fn asid(&self) -> u32 {
        self.number + 1
    }

    /// Whether memory may be mapped at an address, and how much of it in one go: wherever, and all of it.
    ///
    /// # Errors
    /// None.
    pub fn mappable(&self, _at: u64, _memory: u64, bytes: u64) -> Result<u64, Status> {
        Ok(bytes)
    }

    /// Pages have been put into the tables, which are all that there is to it.
    ///
    /// # Errors
    /// None.
    pub fn granted(&self, _: Range<u64>, _: Flags) -> Result<(), Status> {
        Ok(())
    }

    /// Entries of the tables have been changed.
    pub fn edited(&self, _: Range<u64>, _: Edit, _is_done: bool) {}

    /// The VM has ended.
    pub fn ends(&self) {}

    /// Maps a page of the VM's own, zeroed, and returns it.
    ///
    /// # Errors
    /// When memory does not suffice, or something is mapped there.
    pub fn map_own(&self, tables: &Tables, address: u64, flags: Flags) -> Result<PhysFrame, MemoryError> {
        tables.map_own(address, flags, frames::allocate_zeroed)
    }

    /// Something was taken out of its tables. Returns the number of that change, for
    /// [`change_is_over`](Self::change_is_over).
    pub fn tables_change(&self) -> u64 {
        tlb_model::tables_change(self.asid())
    }

    /// No processor uses what a change took away: each that may have had it was asked, and flushes it at its
    /// next entry, since it has no vCPU selected any more.
    pub fn change_is_over(&self, change: u64) {
        tlb_model::change_is_over(self.asid(), change);
    }
}

/// The backend's part of a vCPU. Its methods are for the thread that has claimed the vCPU, on its processor.
pub struct BackendVcpu {
    page: SharedRunPage,
    physical: u64,
    space: AddressSpace,
    /// Physical addresses of the permission maps.
    maps: (u64, u64),
    /// What [`set_windows`](Self::set_windows) last set.
    window: Cell<u32>,
    /// What the VMM has asked for by [`set_exceptions`](Self::set_exceptions).
    exceptions: Cell<u32>,
}

impl BackendVcpu {
    /// The backend's page of a vCPU is its VMCB, at `physical`, mapped before the run page. It is reset.
    ///
    /// # Safety
    /// The page before the run page is mapped as long as this is there, and nobody else's.
    ///
    /// # Errors
    /// [`Status::WrongState`] before [`start`](super::start).
    pub unsafe fn try_new(page: SharedRunPage, physical: u64, space: AddressSpace) -> Result<Self, Status> {
        let maps = maps().ok_or(Status::WrongState)?;
        let (window, exceptions) = (Cell::new(run_page::window::NONE), Cell::new(0));
        let vcpu = Self { page, physical, space, maps, window, exceptions };
        tlb_model::vcpu_made(vcpu.vmcb());
        vcpu.reset();
        Ok(vcpu)
    }

    #[inline(always)]
    fn vmcb(&self) -> &Vmcb {
        // SAFETY: the promise of who made it.
        unsafe { Vmcb::beside(self.page) }
    }

    /// Puts all registers into the state after a reset, and forgets which window was asked for.
    #[cold]
    pub fn reset(&self) {
        self.window.set(run_page::window::NONE);
        state::reset(self.vmcb(), self.maps, self.space.root, self.space.asid());
        self.set_exceptions(self.exceptions.get());
    }

    /// Has these exceptions exit, a bit a vector, besides those that do in any case.
    pub fn set_exceptions(&self, exceptions: u32) {
        self.exceptions.set(exceptions);
        self.vmcb().control.intercept_exceptions.set(intercept_exceptions::ALWAYS | exceptions);
    }

    /// Loads the groups that the VMM marked from the run page, but those of the FPU.
    ///
    /// # Errors
    /// When they are refused. A state that cannot be entered leaves the vCPU reset.
    #[inline]
    pub fn load(&self, dirty: Groups) -> Result<(), LoadError> {
        let loaded = state::load(self.vmcb(), self.page, dirty);
        // Some groups are loaded by now: what is there is neither the old state nor the new one.
        if loaded == Err(LoadError::NotEnterable) {
            self.reset();
        }
        loaded
    }

    /// Stores groups in the run page, and returns which of those asked for are this backend's.
    #[cold]
    pub fn store(&self, groups: Groups) -> Groups {
        state::store_requested(self.vmcb(), self.page, groups);
        groups & state::REQUESTED
    }

    /// XCR0, where it is the platform's to keep: it is in the processor, with the FPU's other registers.
    #[inline(always)]
    pub fn own_xcr0(&self) -> Option<u64> {
        None
    }

    /// Sets it there; whether it is one that the processor takes.
    #[inline(always)]
    pub fn set_own_xcr0(&self, _: u64) -> Option<bool> {
        None
    }

    /// Fills the record of a run that ends for a reason that is not the guest's.
    pub fn report(&self, why: u32) {
        exit::report(self.vmcb(), self.page, why);
    }

    /// Has the guest exit when the VMM can inject what it wants to, as the run page asks.
    #[inline(always)]
    pub fn set_windows(&self) {
        let (vmcb, want) = (self.vmcb(), self.page.window());
        // While an interrupt waits itself, the window's turn comes when that is delivered.
        let is_late = want != run_page::window::NONE && window::interrupt_requested(vmcb);
        if is_late || want != self.window.get() {
            window::set(vmcb, want);
            // No window has this number, so the next entry asks again: the interrupt may have gone by then.
            self.window.set(if is_late { u32::MAX } else { want });
        }
        let iret = if self.page.nmi_return() & 1 != 0 { intercept1::IRET } else { 0 };
        vmcb.control.intercept1.update(|bits| bits & !intercept1::IRET | iret);
    }

    /// Whether the window is the one that the run page asks for.
    #[inline(always)]
    pub fn has_windows(&self) -> bool {
        self.window.get() == self.page.window()
    }

    /// Makes the vCPU the one that this processor enters next.
    #[inline(always)]
    pub fn select(&self) {
        let ready = &this_cpu().entry.ready;
        if ready.select(self.page.address() as u64, self.physical) {
            // The other may be of the same VM, and so have the same ASID.
            tlb::ask_flush(self.vmcb());
        }
        tsc_aux::load(self.vmcb());
    }

    /// Enters the guest and returns with its next exit, which is recorded. The vCPU is the one selected.
    #[inline(always)]
    pub fn enter(&self) -> Exit {
        let exit = self.enter_once();
        // Only now: VMRUN reads the request and leaves it there.
        tlb::is_flushed(self.vmcb());
        exit
    }

    #[inline(always)]
    fn enter_once(&self) -> Exit {
        let page = self.page.address();
        tlb_model::guest_enters(self.vmcb());
        // SAFETY: the page is the vCPU's, which is claimed and selected.
        unsafe {
            enter(page);
        }
        tlb_model::guest_left(self.vmcb());
        // SAFETY: as above.
        unsafe { exit::record(page) }
    }

    /// After an exit for the host, before the next entry: an event that was being delivered is delivered
    /// then.
    pub fn redeliver(&self) {
        let vmcb = self.vmcb();
        if let Some(event) = state::decode_event(vmcb.control.exit_int_info.get()) {
            state::inject(vmcb, event);
        }
        // The run page says where the guest is, should the next VMRUN be refused (`state::repair`).
        state::store_general(vmcb, self.page);
    }

    /// After [`Exit::Refused`]: why the run ends, or nothing where the guest can be entered again.
    ///
    /// QEMU's emulation also ends so the run of a guest that sets reserved bits of CR3, instead of #GP. So
    /// VMRUN is asked again, with an interrupt pending, for which it exits before the guest executes
    /// anything: a state that it refused, it refuses again.
    #[cold]
    pub fn after_refusal(&self) -> Option<u32> {
        const GENERAL_PROTECTION: u64 = 13;
        let is_entered = || {
            local_apic::kick(this_cpu().apic_id);
            let exit = self.enter_once();
            // The interrupt was sent for this alone: left pending, it would stop the next entry as well.
            masking::take_pending();
            exit != Exit::Refused
        };
        // The host's state must not be seen by anybody: it is overwritten.
        if exit::holds_host_state(self.vmcb()) {
            self.reset();
            return Some(reason::INVALID_STATE);
        }
        if state::repair(self.vmcb(), self.page) {
            // A VMRUN that was refused may not have flushed what it was asked to.
            tlb::ask_flush(self.vmcb());
            // The one virtual interrupt is gone as well.
            window::set(self.vmcb(), self.page.window());
            return None;
        }
        if is_entered() {
            exit::set_exception(self.page, GENERAL_PROTECTION, 0);
            return Some(reason::EXCEPTION);
        }
        self.reset();
        Some(reason::INVALID_STATE)
    }
}

#[cfg(test)]
mod tests;
