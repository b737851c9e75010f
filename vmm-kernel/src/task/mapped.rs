//! What a process has mapped that is not its own: pages of VMs and vCPUs, registers and
//! memory of host devices. Nobody looks whether it has taken
//! them out of its address space again, so these objects live as long as it does, whatever handles it closes;
//! else their pages would be another's while it can reach them.

use vcpu_abi::status::Status;

use crate::layout::{VCPUS_MAX, VMS_MAX};
use crate::object::pool::any::AnyRef;

/// References to what is mapped: a place for each VM and vCPU there can be. Functions of the host's take of
/// the same places: who has all the vCPUs has none.
pub struct Mapped {
    objects: [Option<AnyRef>; VMS_MAX + VCPUS_MAX],
}

impl Mapped {
    /// Nothing.
    pub const fn new() -> Self {
        Self { objects: [const { None }; VMS_MAX + VCPUS_MAX] }
    }

    /// Keeps a VM, a vCPU and with it its VM, or a function of the host's.
    pub fn keep(&mut self, object: impl Into<AnyRef>) -> Result<(), Status> {
        let object = object.into();
        // Once, however often its pages are mapped: there are as many places as there can be objects.
        if self.objects.iter().flatten().any(|kept| kept.same(&object)) {
            return Ok(());
        }
        let place = self.objects.iter_mut().find(|p| p.is_none()).ok_or(Status::Exhausted)?;
        *place = Some(object);
        Ok(())
    }

    /// Removes any one, until there is none.
    pub fn remove_any(&mut self) -> Option<AnyRef> {
        self.objects.iter_mut().find_map(Option::take)
    }
}
