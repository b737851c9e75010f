//! Operations on memory that several processes may map.

use vcpu_abi::operation::{Permissions, Rights, SharedCreate, SharedInfo, SharedMap};
use vcpu_abi::status::Status;

use super::execute::{Done, Execute};
use super::pieces::in_pieces;
use super::process::only_self;
use crate::layout::PAGE;
use crate::memory::shared::SharedMemory;
use crate::memory::space::Protection;
use crate::object::pool::Ref;
use crate::task::handle::Shared;
use crate::task::process::Process;

impl Execute for SharedCreate {
    fn execute(&mut self, process: &Ref<Process>, target: Ref<Process>) -> Done {
        only_self(process, &target)?;
        let memory = SharedMemory::try_new(self.bytes, &process.account)?;
        // All pages before the first handle: between the pieces other threads run, and would map what is not
        // there yet.
        in_pieces(self.bytes, |done| Ok(memory.fill_some(done)?))?;
        self.handle = process.handles.lock().insert(memory, Rights::all())?;
        Ok(())
    }
}

impl Execute for SharedInfo {
    fn execute(&mut self, _: &Ref<Process>, shared: Shared) -> Done {
        self.bytes = shared.memory.bytes();
        Ok(())
    }
}

/// What a mapping allows: it is never executed, and written only through a handle that may write.
fn protection(permissions: u32, rights: Rights) -> Result<Protection, Status> {
    match Permissions::from_bits(permissions) {
        Some(Permissions::READ) => Ok(Protection::Read),
        Some(wanted) if wanted == Permissions::READ | Permissions::WRITE => {
            if rights.contains(Rights::WRITE) { Ok(Protection::ReadWrite) } else { Err(Status::NoRight) }
        }
        // To write without reading is nothing that an entry of a page table can say, and nothing that is
        // shared is executed.
        _ => Err(Status::BadArgument),
    }
}

impl Execute for SharedMap {
    fn execute(&mut self, process: &Ref<Process>, shared: Shared) -> Done {
        let protection = protection(self.permissions, shared.rights)?;
        if !(self.offset | self.bytes).is_multiple_of(PAGE) || self.bytes == 0 {
            return Err(Status::BadArgument);
        }
        if !shared.memory.contains(self.offset, self.bytes) {
            return Err(Status::NotFound);
        }
        let part = self.offset..self.offset + self.bytes;
        in_pieces(self.bytes, |done| {
            Ok(process.space.share_some(self.address, &shared.memory, part.clone(), done, protection)?)
        })
    }
}
