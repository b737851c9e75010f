//! Operations on memory: a process's own, the guest's, and a VM's address space.

use vcpu_abi::operation::{MemoryMap, MemoryRange, ProcessAllocate, Rights, VmAllocate, VmMap};
use vcpu_abi::status::Status;

use super::execute::{Done, Execute};
use super::process::only_self;
use crate::guest::vm::Vm;
use crate::memory::guest_memory;
use crate::memory::space::Protection;
use crate::object::pool::Ref;
use crate::task::handle::GuestMemory;
use crate::task::process::Process;

/// The most memory one call allocates: what a process may wait for in the kernel, where nothing preempts it.
const ALLOCATE_MAX: u64 = 4 * 1024 * 1024;

impl Execute for ProcessAllocate {
    fn execute(&mut self, process: &Ref<Process>, target: Ref<Process>) -> Done {
        only_self(process, &target)?;
        if self.bytes > ALLOCATE_MAX {
            return Err(Status::BadArgument);
        }
        Ok(process.space.allocate(self.address, self.bytes, Protection::ReadWrite)?)
    }
}

impl Execute for MemoryRange {
    fn execute(&mut self, _: &Ref<Process>, _: GuestMemory) -> Done {
        let index = usize::try_from(self.index).map_err(|_| Status::NotFound)?;
        let range = guest_memory::range(index).ok_or(Status::NotFound)?;
        (self.gpa, self.bytes) = (range.start, range.end - range.start);
        Ok(())
    }
}

impl Execute for MemoryMap {
    fn execute(&mut self, process: &Ref<Process>, _: GuestMemory) -> Done {
        if !guest_memory::contains(self.gpa, self.bytes) {
            return Err(Status::NotFound);
        }
        if !self.gpa.is_multiple_of(crate::layout::PAGE) {
            return Err(Status::BadArgument);
        }
        Ok(process.space.map_foreign(self.address, self.gpa, self.bytes, Protection::ReadWrite)?)
    }
}

impl Execute for VmMap {
    fn execute(&mut self, process: &Ref<Process>, vm: Ref<Vm>) -> Done {
        Process::find::<GuestMemory>(process, self.memory, Rights::MAP)?;
        vm.map(self.gpa, self.bytes)
    }
}

impl Execute for VmAllocate {
    fn execute(&mut self, process: &Ref<Process>, vm: Ref<Vm>) -> Done {
        if self.writable > 1 {
            return Err(Status::BadArgument);
        }
        process.mapped.lock().keep(vm.clone())?;
        vm.allocate(self.gpa, self.bytes, self.writable == 1, &process.space, self.address)
    }
}
