//! Operations on VMs and vCPUs.

use vcpu_abi::operation::{
    EventBindVcpu, ObjectKind, Rights, SystemCreateVm, VcpuCreate, VcpuFetch, VcpuKick, VcpuRun,
};
use vcpu_abi::registers::Groups;
use vcpu_abi::run_page::work;
use vcpu_abi::status::Status;

use super::run;
use crate::cpu::this_cpu;
use crate::memory::layout::PAGE;
use crate::memory::space::Protection;
use crate::platform::svm::state;
use crate::platform::vcpu::Vcpu;
use crate::platform::vm::Vm;
use crate::task::handle::{self, Object};
use crate::task::pool::Ref;
use crate::task::process::Process;

type Done = Result<(), Status>;

pub fn create_vm(process: &Ref<Process>, _: Object, call: &mut SystemCreateVm) -> Done {
    let vm = Vm::try_new()?;
    call.handle = process.handles.lock().insert(Object::Vm(vm), Rights::all())?;
    Ok(())
}

pub fn create(process: &Ref<Process>, object: Object, call: &mut VcpuCreate) -> Done {
    let Object::Vm(vm) = object else { return Err(Status::BadHandle) };
    let vcpu = Vcpu::try_new(vm, call.cpu)?;
    for (index, physical) in vcpu.shared_pages().into_iter().enumerate() {
        let address = call.address.checked_add(index as u64 * PAGE).ok_or(Status::BadArgument)?;
        process.space.map_foreign(address, physical, PAGE, Protection::ReadWrite)?;
    }
    call.handle = process.handles.lock().insert(Object::Vcpu(vcpu), Rights::all())?;
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
    let mut claim = vcpu.claim()?;
    state::store_requested(claim.vmcb(), vcpu.run_page, groups);
    if groups.contains(Groups::FPU) {
        vcpu.run_page.fill_xsave(|to| vcpu.fpu.read(to));
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
