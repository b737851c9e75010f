//! vCPUs: there are none yet. A VM can be made, and whoever wants a vCPU in it is refused.

use vcpu_abi::registers::Groups;
use vcpu_abi::status::Status;

use super::exit::Exit;
use super::state::LoadError;
use crate::run_page::SharedRunPage;

/// The guest memory that a vCPU would run in.
#[derive(Clone, Copy, Debug)]
pub struct AddressSpace {
    /// Physical address of the tables' root.
    pub root: u64,
    /// Number of the VM among those there are, from 0.
    pub number: u32,
}

impl AddressSpace {
    /// Something was taken out of its tables, which no processor uses.
    pub fn tables_change(&self) -> u64 {
        0
    }

    /// No processor uses what a change took away.
    pub fn change_is_over(&self, _: u64) {}
}

/// A vCPU, of which there is none.
pub enum BackendVcpu {}

impl BackendVcpu {
    /// Refuses.
    ///
    /// # Safety
    /// None is needed: nothing is made.
    ///
    /// # Errors
    /// [`Status::BadOperation`]: this platform's kernel has no vCPUs.
    #[allow(unsafe_code, reason = "as the other backends have it")]
    pub unsafe fn try_new(_: SharedRunPage, _: u64, _: AddressSpace) -> Result<Self, Status> {
        log::warn!("there are no vCPUs on SEV-SNP yet");
        Err(Status::BadOperation)
    }

    /// As the other backends have it.
    pub fn set_exceptions(&self, _: u32) {
        match *self {}
    }

    /// As the other backends have it.
    ///
    /// # Errors
    /// None: there is no vCPU.
    pub fn load(&self, _: Groups) -> Result<(), LoadError> {
        match *self {}
    }

    /// As the other backends have it.
    pub fn store(&self, _: Groups) -> Groups {
        match *self {}
    }

    /// As the other backends have it.
    pub fn report(&self, _: u32) {
        match *self {}
    }

    /// As the other backends have it.
    pub fn set_windows(&self) {
        match *self {}
    }

    /// As the other backends have it.
    pub fn has_windows(&self) -> bool {
        match *self {}
    }

    /// As the other backends have it.
    pub fn select(&self) {
        match *self {}
    }

    /// As the other backends have it.
    pub fn enter(&self) -> Exit {
        match *self {}
    }

    /// As the other backends have it.
    pub fn redeliver(&self) {
        match *self {}
    }

    /// As the other backends have it.
    pub fn after_refusal(&self) -> Option<u32> {
        match *self {}
    }
}
