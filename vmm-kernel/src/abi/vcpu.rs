//! Operations on VMs and vCPUs.

use vcpu_abi::operation::{
    EventBindVcpu, ObjectKind, Rights, SystemCreateVm, VcpuCreate, VcpuFetch, VcpuKick, VcpuRun,
};
use vcpu_abi::registers::Groups;
use vcpu_abi::run_page::work;
use vcpu_abi::status::Status;

use super::run;
use crate::cpu::this_cpu;
use crate::guest::vcpu::Vcpu;
use crate::guest::vm::Vm;
use crate::layout::PAGE;
use crate::memory::space::Protection;
use crate::object::pool::Ref;
use crate::task::handle::{self, Object};
use crate::task::process::Process;

type Done = Result<(), Status>;

pub fn create_vm(process: &Ref<Process>, _: Object, call: &mut SystemCreateVm) -> Done {
    let vm = Vm::try_new()?;
    call.handle = process.handles.lock().insert(Object::Vm(vm), Rights::all())?;
    Ok(())
}

pub fn create(process: &Ref<Process>, object: Object, call: &mut VcpuCreate) -> Done {
    let Object::Vm(vm) = object else { return Err(Status::BadHandle) };
    let vcpu = Vcpu::try_new(vm, call.cpu, process.serial)?;
    let handle = process.handles.lock().insert(Object::Vcpu(vcpu.clone()), Rights::all())?;
    call.handle = handle;
    map_shared(process, &vcpu, call.address).inspect_err(|_| {
        let entry = process.handles.lock().remove(handle);
        drop(entry);
    })
}

/// Maps run page and batch page. A vCPU of which one page is mapped and the other is not stays until the process ends.
fn map_shared(process: &Ref<Process>, vcpu: &Ref<Vcpu>, address: u64) -> Done {
    process.space.check_free(address, 2 * PAGE)?;
    process.mapped.lock().keep_vcpu(vcpu)?;
    for (index, physical) in vcpu.shared_pages().into_iter().enumerate() {
        process.space.map_foreign(address + index as u64 * PAGE, physical, PAGE, Protection::ReadWrite)?;
    }
    Ok(())
}

pub fn kick(_: &Ref<Process>, object: Object, call: &mut VcpuKick) -> Done {
    let Object::Vcpu(vcpu) = object else { return Err(Status::BadHandle) };
    vcpu.kick(call.work);
    Ok(())
}

pub fn fetch(_: &Ref<Process>, object: Object, call: &mut VcpuFetch) -> Done {
    let Object::Vcpu(vcpu) = object else { return Err(Status::BadHandle) };
    let groups = Groups::from_bits(call.groups).ok_or(Status::BadArgument)?;
    let claim = vcpu.claim()?;
    claim.backend().store(groups);
    if groups.contains(Groups::FPU) {
        vcpu.run_page.set_xsave(vcpu.fpu.words());
    }
    if groups.contains(Groups::XCR0) {
        vcpu.run_page.set_xcr0(vcpu.fpu.xcr0());
    }
    Ok(())
}

pub fn run(_: &Ref<Process>, object: Object, _: &mut VcpuRun) -> Done {
    let Object::Vcpu(vcpu) = object else { return Err(Status::BadHandle) };
    run::run(this_cpu(), &vcpu)
}

pub fn bind_event(process: &Ref<Process>, object: Object, call: &mut EventBindVcpu) -> Done {
    let Object::Event(event) = object else { return Err(Status::BadHandle) };
    if !(work::FIRST_EVENT_BIT..32).contains(&call.bit) {
        return Err(Status::BadArgument);
    }
    match handle::find(process, call.vcpu, ObjectKind::Vcpu, Rights::SIGNAL)? {
        Object::Vcpu(vcpu) => event.bind(vcpu, 1 << call.bit),
        _ => Err(Status::BadHandle),
    }
}
