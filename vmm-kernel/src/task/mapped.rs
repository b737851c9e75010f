//! What a process has mapped that is not its own: pages of VMs and vCPUs. Nothing is ever unmapped from a
//! process that runs, so these objects live as long as it does, whatever handles it closes; else their pages
//! would be another's while it can reach them.

use vcpu_abi::status::Status;

use crate::guest::vcpu::Vcpu;
use crate::guest::vm::Vm;
use crate::layout::{VCPUS_MAX, VMS_MAX};
use crate::object::pool::Ref;

/// References to what is mapped: a place for each object there can be.
pub struct Mapped {
    vms: [Option<Ref<Vm>>; VMS_MAX],
    vcpus: [Option<Ref<Vcpu>>; VCPUS_MAX],
}

fn keep<T>(places: &mut [Option<Ref<T>>], object: &Ref<T>) -> Result<(), Status> {
    if places.iter().flatten().any(|kept| kept.same(object)) {
        return Ok(());
    }
    let place = places.iter_mut().find(|p| p.is_none()).ok_or(Status::Exhausted)?;
    *place = Some(object.clone());
    Ok(())
}

impl Mapped {
    /// Nothing.
    pub const fn new() -> Self {
        Self { vms: [const { None }; VMS_MAX], vcpus: [const { None }; VCPUS_MAX] }
    }

    /// Keeps a VM.
    pub fn keep_vm(&mut self, vm: &Ref<Vm>) -> Result<(), Status> {
        keep(&mut self.vms, vm)
    }

    /// Keeps a vCPU, and with it its VM.
    pub fn keep_vcpu(&mut self, vcpu: &Ref<Vcpu>) -> Result<(), Status> {
        keep(&mut self.vcpus, vcpu)
    }
}
