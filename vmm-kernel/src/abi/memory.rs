//! Operations on memory: a process's own, the guest's, and a VM's address space.

use vcpu_abi::operation::{
    MemoryMap, MemoryNarrow, MemoryRange, Permissions, ProcessAllocate, ProcessUnmap, Rights, VmAllocate,
    VmMap, VmMapAt, VmProtect, VmUnmap,
};
use vcpu_abi::status::Status;

use super::execute::{Done, Execute};
use super::pieces::{in_pieces, to_the_end};
use super::process::only_self;
use crate::guest::vm::{GuestRange, Vm};
use crate::layout::PAGE;
use crate::memory::guest_memory;
use crate::memory::space::Protection;
use crate::object::pool::Ref;
use crate::task::handle::GuestMemory;
use crate::task::process::Process;

/// The most memory one call allocates.
const ALLOCATE_MAX: u64 = 4 * 1024 * 1024;

impl Execute for ProcessAllocate {
    fn execute(&mut self, process: &Ref<Process>, target: Ref<Process>) -> Done {
        only_self(process, &target)?;
        if self.bytes > ALLOCATE_MAX {
            return Err(Status::BadArgument);
        }
        in_pieces(self.bytes, |done| {
            Ok(process.space.allocate_some(self.address, self.bytes, done, Protection::ReadWrite)?)
        })
    }
}

impl Execute for ProcessUnmap {
    fn execute(&mut self, process: &Ref<Process>, target: Ref<Process>) -> Done {
        only_self(process, &target)?;
        to_the_end(process.space.unmap(self.address, self.bytes)?)
    }
}

impl Execute for MemoryRange {
    fn execute(&mut self, _: &Ref<Process>, memory: GuestMemory) -> Done {
        let index = usize::try_from(self.index).map_err(|_| Status::NotFound)?;
        let range = guest_memory::range(memory.start, memory.end, index).ok_or(Status::NotFound)?;
        (self.gpa, self.bytes) = (range.start, range.end - range.start);
        Ok(())
    }
}

/// Checks that a range is guest memory that a handle is for.
fn check_part(memory: GuestMemory, gpa: u64, bytes: u64) -> Done {
    // Both: a handle may be for a range with holes, where Plinth's own memory and the devices are.
    let is_there = memory.contains(gpa, bytes) && guest_memory::contains(gpa, bytes);
    if is_there { Ok(()) } else { Err(Status::NotFound) }
}

impl Execute for MemoryNarrow {
    fn execute(&mut self, process: &Ref<Process>, memory: GuestMemory) -> Done {
        if !(self.gpa | self.bytes).is_multiple_of(PAGE) || self.bytes == 0 {
            return Err(Status::BadArgument);
        }
        check_part(memory, self.gpa, self.bytes)?;
        let part = GuestMemory { start: self.gpa, end: self.gpa + self.bytes, ..memory };
        // The rights of the whole: who may do less with that may not do more with a part.
        self.handle = process.handles.lock().insert(part, memory.rights)?;
        Ok(())
    }
}

impl Execute for MemoryMap {
    fn execute(&mut self, process: &Ref<Process>, memory: GuestMemory) -> Done {
        check_part(memory, self.gpa, self.bytes)?;
        if !self.gpa.is_multiple_of(PAGE) {
            return Err(Status::BadArgument);
        }
        in_pieces(self.bytes, |done| {
            Ok(process.space.map_some(self.address, self.gpa, self.bytes, done, Protection::ReadWrite)?)
        })
    }
}

impl Execute for VmMap {
    fn execute(&mut self, process: &Ref<Process>, vm: Ref<Vm>) -> Done {
        // A handle to the VM is not enough: which memory a guest gets is for who may have that memory.
        let memory: GuestMemory = Process::find(process, self.memory, Rights::MAP)?;
        // A range that makes no sense is told before one that is not there.
        let range = GuestRange::try_new(self.gpa, self.bytes)?;
        check_part(memory, self.gpa, self.bytes)?;
        in_pieces(self.bytes, |done| vm.grant(range, Permissions::all(), done))
    }
}

impl Execute for VmMapAt {
    fn execute(&mut self, process: &Ref<Process>, vm: Ref<Vm>) -> Done {
        // As for VmMap: both handles are asked.
        let memory: GuestMemory = Process::find(process, self.memory, Rights::MAP)?;
        let range = GuestRange::try_new(self.gpa, self.bytes)?;
        let permissions = Permissions::from_bits(self.permissions).ok_or(Status::BadArgument)?;
        check_part(memory, self.gpa, self.bytes)?;
        in_pieces(self.bytes, |done| vm.grant_at(range, self.at, permissions, done))
    }
}

impl Execute for VmUnmap {
    fn execute(&mut self, _: &Ref<Process>, vm: Ref<Vm>) -> Done {
        to_the_end(vm.revoke(GuestRange::try_new(self.gpa, self.bytes)?))
    }
}

impl Execute for VmProtect {
    fn execute(&mut self, _: &Ref<Process>, vm: Ref<Vm>) -> Done {
        let permissions = Permissions::from_bits(self.permissions).ok_or(Status::BadArgument)?;
        to_the_end(vm.protect(GuestRange::try_new(self.gpa, self.bytes)?, permissions)?)
    }
}

impl Execute for VmAllocate {
    fn execute(&mut self, process: &Ref<Process>, vm: Ref<Vm>) -> Done {
        let rights = match self.writable {
            0 => Permissions::READ | Permissions::EXECUTE,
            1 => Permissions::all(),
            _ => return Err(Status::BadArgument),
        };
        let range = GuestRange::try_new(self.gpa, self.bytes)?;
        // Before the first page: a process that closes the handle would still reach pages that had become
        // another's.
        process.mapped.lock().keep(vm.clone())?;
        in_pieces(self.bytes, |done| vm.allocate_some(range, done, rights, &process.space, self.address))
    }
}
