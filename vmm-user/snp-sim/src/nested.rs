//! What of its memory the guest reaches without an exit: the nested tables, made as pages are accessed.
//!
//! A page has two guest physical addresses, with the C-bit and without. Each is mapped by itself, and only
//! with what the reverse map allows there: so the processor's own walk makes the check of each access, and
//! what it does not find comes here as an exit. What the reverse map's instructions change is taken out, and
//! comes again.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use plinth_snp_abi::PAGE_BYTES;
use runtime::abi::operation::{Handle, Permissions, VmMapAt, VmProtect, VmUnmap};
use runtime::abi::status::Status;
use runtime::call;

use crate::memory::{C_BIT, Memory};

const PAGE: u64 = PAGE_BYTES as u64;

/// The nested tables of one VMPL.
pub struct Nested {
    vm: Handle,
    /// Plinth's guest memory.
    memory: Handle,
    /// What is mapped, by guest physical address with the C-bit.
    mapped: BTreeMap<u64, Permissions>,
}

impl Nested {
    /// Those of a VM, which maps nothing yet.
    pub fn new(vm: Handle, memory: Handle) -> Self {
        Self { vm, memory, mapped: BTreeMap::new() }
    }

    /// The VM.
    pub fn vm(&self) -> Handle {
        self.vm
    }

    /// Has the guest reach the page at `gpa` like this, and not otherwise. `false` if there is no memory.
    ///
    /// # Errors
    /// The kernel's.
    pub fn allow(&mut self, memory: &Memory, gpa: u64, permissions: Permissions) -> Result<bool, Status> {
        let at = gpa & !(PAGE - 1);
        let Some(place) = memory.place(at, PAGE) else { return Ok(false) };
        match self.mapped.insert(at, permissions) {
            Some(before) if before == permissions => {}
            Some(_) => self.protect(at, permissions)?,
            None => self.map(at, place, permissions)?,
        }
        Ok(true)
    }

    /// Takes a page out, at both addresses.
    ///
    /// # Errors
    /// The kernel's.
    pub fn forbid(&mut self, gpa: u64) -> Result<(), Status> {
        let page = gpa & !C_BIT & !(PAGE - 1);
        for at in [page, page | C_BIT] {
            if self.mapped.remove(&at).is_some() {
                call(self.vm, VmUnmap { gpa: at, bytes: PAGE })?;
            }
        }
        Ok(())
    }

    /// Takes out all that is mapped without the C-bit.
    ///
    /// # Errors
    /// The kernel's.
    pub fn forbid_without_c_bit(&mut self) -> Result<(), Status> {
        let all: Vec<u64> = self.mapped.keys().copied().filter(|at| at & C_BIT == 0).collect();
        for at in all {
            self.mapped.remove(&at);
            call(self.vm, VmUnmap { gpa: at, bytes: PAGE })?;
        }
        Ok(())
    }

    fn map(&self, at: u64, place: u64, permissions: Permissions) -> Result<(), Status> {
        let (memory, permissions) = (self.memory, permissions.bits());
        call(self.vm, VmMapAt { memory, permissions, gpa: place, bytes: PAGE, at }).map(drop)
    }

    fn protect(&self, at: u64, permissions: Permissions) -> Result<(), Status> {
        let change = VmProtect { gpa: at, bytes: PAGE, permissions: permissions.bits(), reserved: 0 };
        call(self.vm, change).map(drop)
    }
}
