//! Virtual machines: a guest physical address space.

use vcpu_abi::status::Status;
use x86_64::structures::paging::PhysFrame;

use crate::layout::{PAGE, VMS_MAX};
use crate::memory::space::{Protection, Space};
use crate::memory::tables::{OWNED, Tables};
use crate::memory::{frames, guest_memory};
use crate::object::pool::{Pool, Ref};
use crate::platform::backend::nested;
use crate::platform::backend::vcpu::AddressSpace;
use crate::sync::SpinLock;

static VMS: Pool<Vm, VMS_MAX> = Pool::new();
/// Guest physical addresses end here: what four levels of nested tables reach.
const GPA_END: u64 = 1 << 47;
/// The most pages a VM may have of its own.
const OWN_PAGES_MAX: u64 = 256;

/// A virtual machine.
pub struct Vm {
    number: u32,
    root: PhysFrame,
    state: SpinLock<State>,
}

struct State {
    tables: Tables,
    own_pages: u64,
}

fn check(gpa: u64, bytes: u64) -> Result<(), Status> {
    let end = gpa.checked_add(bytes).ok_or(Status::BadArgument)?;
    if !(gpa | bytes).is_multiple_of(PAGE) || bytes == 0 || end > GPA_END {
        return Err(Status::BadArgument);
    }
    Ok(())
}

impl Vm {
    /// A VM with nothing in its address space.
    pub fn try_new() -> Result<Ref<Self>, Status> {
        VMS.try_insert(|slot| {
            let tables = Tables::try_new()?;
            let root = tables.root();
            Ok(Self { number: slot as u32, root, state: SpinLock::new(State { tables, own_pages: 0 }) })
        })
    }

    /// What its vCPUs run in.
    pub fn address_space(&self) -> AddressSpace {
        AddressSpace { root: self.root.start_address().as_u64(), number: self.number }
    }

    /// Maps guest memory at its own address.
    pub fn map(&self, gpa: u64, bytes: u64) -> Result<(), Status> {
        check(gpa, bytes)?;
        if !guest_memory::contains(gpa, bytes) {
            return Err(Status::NotFound);
        }
        Ok(self.state.lock().tables.map_range(gpa, gpa, bytes, nested::flags(true))?)
    }

    /// Gives the VM pages of its own, and maps them in `space` too. They live as long as the VM; the process
    /// that asks for them keeps it until it ends (see `task::mapped`).
    pub fn allocate(
        &self,
        gpa: u64,
        bytes: u64,
        writable: bool,
        space: &Space,
        address: u64,
    ) -> Result<(), Status> {
        check(gpa, bytes)?;
        if bytes / PAGE > OWN_PAGES_MAX {
            return Err(Status::Exhausted);
        }
        if (0..bytes / PAGE).any(|page| guest_memory::contains(gpa + page * PAGE, PAGE)) {
            return Err(Status::Overlap);
        }
        let flags = nested::flags(writable) | OWNED;
        let mut state = self.state.lock();
        if state.own_pages + bytes / PAGE > OWN_PAGES_MAX {
            return Err(Status::Exhausted);
        }
        for page in 0..bytes / PAGE {
            let frame = frames::allocate_zeroed()?;
            state.tables.map(gpa + page * PAGE, frame, flags).inspect_err(|_| frames::free(frame))?;
            state.own_pages += 1;
            let physical = frame.start_address().as_u64();
            space.map_foreign(address.wrapping_add(page * PAGE), physical, PAGE, Protection::ReadWrite)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
