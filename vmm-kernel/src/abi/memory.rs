//! Operations on memory: a process's own, the guest's, and a VM's address space.

use vcpu_abi::operation::{MemoryMap, MemoryRange, ObjectKind, ProcessAllocate, Rights, VmAllocate, VmMap};
use vcpu_abi::status::Status;

use super::process::only_self;
use crate::memory::guest_memory;
use crate::memory::space::Protection;
use crate::object::pool::Ref;
use crate::task::handle::{self, Object};
use crate::task::process::Process;

type Done = Result<(), Status>;

/// The most memory one call allocates: what a process may wait for in the kernel, where nothing preempts it.
const ALLOCATE_MAX: u64 = 4 * 1024 * 1024;

pub fn allocate(process: &Ref<Process>, object: Object, call: &mut ProcessAllocate) -> Done {
    only_self(process, &object)?;
    if call.bytes > ALLOCATE_MAX {
        return Err(Status::BadArgument);
    }
    Ok(process.space.allocate(call.address, call.bytes, Protection::ReadWrite)?)
}

pub fn range(_: &Ref<Process>, _: Object, call: &mut MemoryRange) -> Done {
    let index = usize::try_from(call.index).map_err(|_| Status::NotFound)?;
    let range = guest_memory::range(index).ok_or(Status::NotFound)?;
    (call.gpa, call.bytes) = (range.start, range.end - range.start);
    Ok(())
}

pub fn map(process: &Ref<Process>, _: Object, call: &mut MemoryMap) -> Done {
    if !guest_memory::contains(call.gpa, call.bytes) {
        return Err(Status::NotFound);
    }
    if !call.gpa.is_multiple_of(crate::layout::PAGE) {
        return Err(Status::BadArgument);
    }
    Ok(process.space.map_foreign(call.address, call.gpa, call.bytes, Protection::ReadWrite)?)
}

pub fn vm_map(process: &Ref<Process>, object: Object, call: &mut VmMap) -> Done {
    let Object::Vm(vm) = object else { return Err(Status::BadHandle) };
    handle::find(process, call.memory, ObjectKind::GuestMemory, Rights::MAP)?;
    vm.map(call.gpa, call.bytes)
}

pub fn vm_allocate(process: &Ref<Process>, object: Object, call: &mut VmAllocate) -> Done {
    let Object::Vm(vm) = object else { return Err(Status::BadHandle) };
    if call.writable > 1 {
        return Err(Status::BadArgument);
    }
    process.mapped.lock().keep_vm(&vm)?;
    vm.allocate(call.gpa, call.bytes, call.writable == 1, &process.space, call.address)
}
