//! Operations on VMs and vCPUs.

use vcpu_abi::exit::INTERCEPTABLE;
use vcpu_abi::operation::{
    EventBindVcpu, Rights, SystemCreateVm, VcpuCreate, VcpuFetch, VcpuIntercept, VcpuKick, VcpuRun,
};
use vcpu_abi::registers::Groups;
use vcpu_abi::run_page::work;
use vcpu_abi::status::Status;

use super::execute::{Done, Execute};
use super::run;
use crate::cpu::this_cpu;
use crate::event::Event;
use crate::guest::vcpu::Vcpu;
use crate::guest::vm::Vm;
use crate::layout::PAGE;
use crate::memory::space::Protection;
use crate::object::pool::Ref;
use crate::task::handle::Machine;
use crate::task::process::Process;

impl Execute for SystemCreateVm {
    fn execute(&mut self, process: &Ref<Process>, _: Machine) -> Done {
        let vm = Vm::try_new(&process.account)?;
        self.handle = process.handles.lock().insert(vm, Rights::all())?;
        Ok(())
    }
}

impl Execute for VcpuCreate {
    fn execute(&mut self, process: &Ref<Process>, vm: Ref<Vm>) -> Done {
        let vcpu = Vcpu::try_new(vm, self.cpu, process.serial, &process.account)?;
        // Before its pages are mapped, which is not undone where the table has no room for a handle.
        let handle = process.handles.lock().insert(vcpu.clone(), Rights::all())?;
        self.handle = handle;
        map_shared(process, &vcpu, self.address).inspect_err(|_| {
            let entry = process.handles.lock().remove(handle);
            drop(entry);
        })
    }
}

/// Maps run page and batch page. A vCPU of which one page is mapped and the other is not stays until the
/// process ends.
fn map_shared(process: &Ref<Process>, vcpu: &Ref<Vcpu>, address: u64) -> Done {
    // Both pages at once, so that a place of which one is in use gets neither.
    process.space.check_free(address, 2 * PAGE)?;
    // Before the first page is mapped: without a handle the vCPU would go, and another's run page be in its
    // place.
    process.mapped.lock().keep(vcpu.clone())?;
    for (index, physical) in vcpu.shared_pages().into_iter().enumerate() {
        process.space.map_foreign(address + index as u64 * PAGE, physical, PAGE, Protection::ReadWrite)?;
    }
    Ok(())
}

impl Execute for VcpuKick {
    fn execute(&mut self, _: &Ref<Process>, vcpu: Ref<Vcpu>) -> Done {
        vcpu.kick(self.work);
        Ok(())
    }
}

impl Execute for VcpuFetch {
    fn execute(&mut self, _: &Ref<Process>, vcpu: Ref<Vcpu>) -> Done {
        let groups = Groups::from_bits(self.groups).ok_or(Status::BadArgument)?;
        // While it runs, its registers are in its processor or on their way: who reads them has to have it.
        let claim = vcpu.claim()?;
        claim.backend().store(groups);
        let own_xcr0 = claim.backend().own_xcr0();
        if groups.contains(Groups::FPU) {
            // Where the platform exchanges the registers, they are not the kernel's to give.
            if own_xcr0.is_some() {
                return Err(Status::BadOperation);
            }
            vcpu.run_page.set_xsave(vcpu.fpu.words());
        }
        if groups.contains(Groups::XCR0) {
            vcpu.run_page.set_xcr0(own_xcr0.unwrap_or_else(|| vcpu.fpu.xcr0()));
        }
        Ok(())
    }
}

impl Execute for VcpuIntercept {
    fn execute(&mut self, _: &Ref<Process>, vcpu: Ref<Vcpu>) -> Done {
        // Not those that are the kernel's own, or that platforms report differently.
        if self.exceptions & !INTERCEPTABLE != 0 {
            return Err(Status::BadArgument);
        }
        vcpu.claim()?.backend().set_exceptions(self.exceptions);
        Ok(())
    }
}

impl Execute for VcpuRun {
    const ENDS_BATCH: bool = true;

    fn execute(&mut self, _: &Ref<Process>, vcpu: Ref<Vcpu>) -> Done {
        run::run(this_cpu(), &vcpu)
    }
}

impl Execute for EventBindVcpu {
    fn execute(&mut self, process: &Ref<Process>, event: Ref<Event>) -> Done {
        if !(work::FIRST_EVENT_BIT..32).contains(&self.bit) {
            return Err(Status::BadArgument);
        }
        event.bind(Process::find(process, self.vcpu, Rights::SIGNAL)?, 1 << self.bit)
    }
}
