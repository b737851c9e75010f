//! How the firmware changes the RMP at a launch.

use plinth_snp_abi::rmp::PageSize;

use super::Status;
use crate::access::Target;
use crate::rmp::Rmp;

impl Rmp {
    /// Whether the firmware takes a small page into a guest: the host has assigned it to this guest, where it
    /// says, and made it immutable.
    ///
    /// # Errors
    /// It is not so.
    pub(super) fn check_launch(&self, asid: u32, at: &Target) -> Result<(), Status> {
        let entry = self.lookup(at.spa).ok_or(Status::InvalidAddress)?;
        let is_ours = entry.assigned && entry.asid == asid && entry.gpa == at.gpa;
        let is_new = entry.immutable && !entry.validated && entry.size == PageSize::Small;
        if is_ours && is_new { Ok(()) } else { Err(Status::InvalidPageState) }
    }

    /// The firmware has taken a page in: it is validated, and the guest's.
    pub(super) fn launch(&mut self, spa: u64, is_vmsa: bool) {
        if let Some(entry) = self.governing_mut(spa) {
            (entry.immutable, entry.validated, entry.vmsa) = (false, true, is_vmsa);
        }
    }
}
