//! Guest memory: what a lower VMPL may do with a page says the reverse map (RMPADJUST). A VM's tables are no
//! processor's, but the account of what it has: the two are changed together.
//!
//! A guest at a lower VMPL has the same physical addresses as Plinth. So its memory is at its own addresses
//! and nowhere else, and there is one VM with memory at a time: all of them would have the same.

use core::ops::Range;

use plinth_snp_abi::rmp::{Permissions as RmpPermissions, RmpAttributes};
use vcpu_abi::status::Status;
use x86_64::PhysAddr;
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use super::accounts::{self, NotAdjusted};
pub use super::rights::flags;
use super::rights::permissions;
use super::state::VMPL;
use crate::layout::PAGE;
use crate::memory::edit::Edit;
use crate::memory::host_map::NEVER_MEMORY;
use crate::memory::tables::Tables;
use crate::memory::{MemoryError, guest_memory};

/// How many pages are granted in one go: nothing preempts the kernel meanwhile.
const AT_ONCE: u64 = 64 * PAGE;

fn adjust(gfn: u64, permissions: RmpPermissions) -> Result<(), NotAdjusted> {
    accounts::adjust(gfn, RmpAttributes { vmpl: VMPL, permissions, is_vmsa: false })
}

/// Takes pages from the guest, those of a range that are memory at all.
fn withdraw(range: Range<u64>) {
    let gfns = range.start / PAGE..(range.end / PAGE).min(accounts::PAGES_MAX);
    for gfn in gfns {
        match adjust(gfn, RmpPermissions::empty()) {
            Ok(()) | Err(NotAdjusted::NotAccepted) => {}
            Err(NotAdjusted::Code(code)) => super::exception::end_by_kept_page(gfn, code),
        }
    }
}

/// The guest memory that a vCPU runs in.
#[derive(Clone, Copy, Debug)]
pub struct AddressSpace {
    /// Physical address of the tables' root.
    pub root: u64,
    /// Number of the VM among those there are, from 0.
    pub number: u32,
}

impl AddressSpace {
    /// Whether it may have memory and vCPUs.
    pub fn may_have_guests(&self) -> bool {
        self.number == 0
    }

    /// Whether memory may be mapped at an address, and how much of it in one go.
    ///
    /// # Errors
    /// [`Status::BadOperation`]: not there, or not for this VM.
    pub fn mappable(&self, at: u64, memory: u64, bytes: u64) -> Result<u64, Status> {
        if at != memory || !self.may_have_guests() {
            return Err(Status::BadOperation);
        }
        Ok(bytes.min(AT_ONCE))
    }

    /// Pages have been put into the tables: the guest gets them.
    ///
    /// # Errors
    /// [`Status::BadOperation`]: some can't be given to it.
    pub fn granted(&self, range: Range<u64>, flags: Flags) -> Result<(), Status> {
        let permissions = permissions(flags);
        for gfn in range.start / PAGE..range.end / PAGE {
            adjust(gfn, permissions).map_err(|error| {
                log::error!("the page {gfn:#x} can't be a guest's: {error:?}");
                Status::BadOperation
            })?;
        }
        Ok(())
    }

    /// Entries of the tables have been changed, or should have been and were not.
    pub fn edited(&self, range: Range<u64>, edit: Edit, is_done: bool) {
        if !self.may_have_guests() {
            return;
        }
        match edit {
            Edit::Set(flags) if is_done => {
                let permissions = permissions(flags);
                for gfn in range.start / PAGE..range.end / PAGE {
                    if let Err(error) = adjust(gfn, permissions) {
                        // All of it was granted before, so it is memory, and nobody else's.
                        log::error!("the page {gfn:#x}: {error:?}");
                        withdraw(range);
                        return;
                    }
                }
            }
            _ => withdraw(range),
        }
    }

    /// The VM has ended: nothing is the guest's any more.
    pub fn ends(&self) {
        if !self.may_have_guests() {
            return;
        }
        for index in 0.. {
            let Some(range) = guest_memory::range(0, u64::MAX, index) else { break };
            withdraw(range.start..range.end);
        }
        withdraw(NEVER_MEMORY[0].start..NEVER_MEMORY[0].end);
    }

    /// Maps a page of the VM's own. It is where the guest has it: in the hole below 1 MiB, where machines of
    /// this kind have memory that no map shows.
    ///
    /// # Errors
    /// [`MemoryError::BadRange`] elsewhere.
    pub fn map_own(&self, tables: &Tables, address: u64, flags: Flags) -> Result<PhysFrame, MemoryError> {
        let hole = NEVER_MEMORY[0];
        if !self.may_have_guests() || !(hole.start..hole.end).contains(&address) {
            return Err(MemoryError::BadRange);
        }
        accounts::accept_cleared(address / PAGE).map_err(|violation| {
            log::error!("{violation}");
            MemoryError::NoFrames
        })?;
        let frame = PhysFrame::containing_address(PhysAddr::new_truncate(address));
        tables.map(address, frame, flags)?;
        adjust(address / PAGE, permissions(flags)).map_err(|_| MemoryError::NoFrames)?;
        Ok(frame)
    }

    /// Something was taken out of its tables, which no processor uses.
    pub fn tables_change(&self) -> u64 {
        0
    }

    /// No processor has what a change took away: who does it has the vCPUs deselected, and the next entry
    /// forgets all translations.
    pub fn change_is_over(&self, _: u64) {}
}
