//! The guest's memory with the reverse map (RMP), the nested tables that follow it, and what the host does
//! about pages.
//!
//! The machine's memory is the guest's alone, so a system physical address here is that of the same page in
//! the guest, without the C-bit. The host has all of it mapped in small pages. It follows the guest, as KVM
//! with QEMU does: a page that is accessed as private memory while it is shared, or the other way round,
//! becomes so.

use alloc::vec::Vec;

use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_abi::launch::PageType;
use plinth_snp_abi::rmp::{PageSize, ResultCode};
use plinth_snp_model::access::{Access, Denied, Kind, Target};
use plinth_snp_model::rmp::guest::{Completion, Executor, Page};
use plinth_snp_model::rmp::{HostError, Rmp, Update};
use plinth_snp_model::sp::{Launch, PlatformCpuid, Status as Refusal};
use runtime::abi::exit::Access as ExitAccess;
use runtime::abi::operation::Permissions;
use runtime::abi::status::Status;

use crate::instruction;
use crate::memory::{C_BIT, Memory};
use crate::nested::Nested;

/// The guest's address-space identifier in the RMP.
pub const ASID: u32 = 1;
/// The VMPL of the one vCPU.
pub const VMPL: u8 = 0;

/// What comes of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// It is to be made again: the nested tables have changed.
    Again,
    /// The page is not validated.
    NotValidated,
    /// The host does not go on.
    Refused,
}

/// What an instruction leaves in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// EAX.
    pub code: ResultCode,
    /// CF, of PVALIDATE.
    pub carry: Option<bool>,
    /// RCX and RDX, of RMPQUERY.
    pub query: Option<[u64; 2]>,
}

/// How an instruction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executed {
    /// It is complete.
    Done(Registers),
    /// #GP(0).
    GeneralProtection,
    /// As an access.
    Access(Touched),
}

/// Memory, reverse map, nested tables.
pub struct Machine {
    memory: Memory,
    nested: Nested,
    rmp: Rmp,
    /// Why the nested tables could not be changed when the host did.
    failure: Option<Status>,
}

/// The frame of a guest physical address.
fn frame(gpa: u64) -> u64 {
    gpa & !C_BIT & !(PAGE_BYTES as u64 - 1)
}

impl Machine {
    /// A machine whose memory is all assigned to the guest, and none of it validated.
    pub fn new(memory: Memory, nested: Nested) -> Self {
        let rmp = Rmp::new((memory.bytes() / PAGE_BYTES as u64) as usize);
        let mut machine = Self { memory, nested, rmp, failure: None };
        let frames: Vec<u64> = (0..machine.memory.bytes()).step_by(PAGE_BYTES).collect();
        frames.into_iter().for_each(|gpa| {
            machine.assign(gpa, true);
        });
        machine
    }

    /// The memory.
    pub fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// SNP_LAUNCH_UPDATE: has the firmware take a page into the guest.
    ///
    /// # Errors
    /// The firmware's; INVALID_ADDRESS also where there is no memory.
    pub fn launch(
        &mut self,
        launch: &mut Launch,
        page_type: PageType,
        gpa: u64,
        mut page: [u8; PAGE_BYTES],
        platform: &impl PlatformCpuid,
    ) -> Result<(), Refusal> {
        // Immutable until the firmware has done.
        self.update(gpa, true, true).map_err(|_| Refusal::InvalidAddress)?;
        let at = Target { gpa, spa: gpa, mapped: PageSize::Small };
        launch.update(&mut self.rmp, page_type, &at, &mut page, platform)?;
        self.memory.copy_in(gpa, &page).ok_or(Refusal::InvalidAddress)
    }

    /// Why the nested tables could not be changed, since this was asked last.
    pub fn take_failure(&mut self) -> Option<Status> {
        self.failure.take()
    }

    fn update(&mut self, gpa: u64, assigned: bool, immutable: bool) -> Result<(), HostError> {
        let (spa, asid) = (frame(gpa), if assigned { ASID } else { 0 });
        self.rmp.update(spa, Update { assigned, size: PageSize::Small, asid, gpa: spa, immutable })?;
        self.forget(spa);
        Ok(())
    }

    /// RMPUPDATE: the page becomes the guest's, not validated, or the host's. `false` if that is refused.
    pub fn assign(&mut self, gpa: u64, assigned: bool) -> bool {
        self.update(gpa, assigned, false).is_ok()
    }

    /// Whether a range is shared: of private pages the host would see ciphertext, and may not write them.
    fn is_shared(&self, gpa: u64, bytes: usize) -> bool {
        let Some(end) = gpa.checked_add(bytes as u64) else { return false };
        let mut frames = (frame(gpa)..end).step_by(PAGE_BYTES);
        frames.all(|frame| self.rmp.lookup(frame).is_some_and(|entry| !entry.assigned))
    }

    /// Reads shared memory; `None` if it is none.
    pub fn read_shared(&self, gpa: u64, bytes: &mut [u8]) -> Option<()> {
        if self.is_shared(gpa, bytes.len()) { self.memory.copy_out(gpa, bytes) } else { None }
    }

    /// Writes shared memory; `None` if it is none.
    pub fn write_shared(&self, gpa: u64, bytes: &[u8]) -> Option<()> {
        if self.is_shared(gpa, bytes.len()) { self.memory.copy_in(gpa, bytes) } else { None }
    }

    /// The nested tables have nothing of a page whose entry has changed.
    fn forget(&mut self, gpa: u64) {
        if let Err(status) = self.nested.forbid(gpa) {
            self.failure = Some(status);
        }
    }

    fn check(&self, gpa: u64, kind: Kind, is_user: bool) -> Result<(), Denied> {
        let access = Access { asid: ASID, vmpl: VMPL, is_user, kind, is_private: gpa & C_BIT != 0 };
        let target = Target { gpa: frame(gpa), spa: frame(gpa), mapped: PageSize::Small };
        self.rmp.check(&access, &target)
    }

    /// What the nested tables may let pass at an address. They do not tell a supervisor's fetch from a
    /// user's, nor a walk of the guest's tables from an access of data: what is mapped for a walk can be
    /// written as well.
    fn permissions(&self, gpa: u64, kind: Kind) -> Permissions {
        let may = |kind, is_user| self.check(gpa, kind, is_user).is_ok();
        let is_walk = kind == Kind::TableWalk;
        let mut permissions = Permissions::empty();
        permissions.set(Permissions::READ, is_walk || may(Kind::Read, false));
        permissions.set(Permissions::WRITE, is_walk || may(Kind::Write, false));
        permissions.set(Permissions::EXECUTE, may(Kind::Fetch, false) && may(Kind::Fetch, true));
        permissions
    }

    /// An access that the nested tables did not let through.
    ///
    /// # Errors
    /// The kernel's.
    pub fn touch(&mut self, gpa: u64, access: ExitAccess, is_user: bool) -> Result<Touched, Status> {
        let kind = kind_of(access);
        // Instructions and page tables are in private memory, whatever the C-bit says.
        let is_private = gpa & C_BIT != 0 || matches!(kind, Kind::Fetch | Kind::TableWalk);
        let Some(entry) = self.rmp.lookup(frame(gpa)) else { return Ok(Touched::Refused) };
        if entry.assigned != is_private && !self.assign(gpa, is_private) {
            return Ok(Touched::Refused);
        }
        match self.check(gpa, kind, is_user) {
            Ok(()) => {
                let permissions = self.permissions(gpa, kind);
                let is_memory = self.nested.allow(&self.memory, gpa, permissions)?;
                Ok(if is_memory { Touched::Again } else { Touched::Refused })
            }
            Err(Denied::NotValidated) => Ok(Touched::NotValidated),
            Err(Denied::NestedPageFault(_)) => Ok(Touched::Refused),
        }
    }

    /// PVALIDATE, RMPADJUST or RMPQUERY of the page at a linear address, which was translated to `gpa`;
    /// RCX and RDX are as in the guest.
    pub fn execute(
        &mut self,
        kind: instruction::Kind,
        [linear, gpa]: [u64; 2],
        cpl: u8,
        [rcx, rdx]: [u64; 2],
    ) -> Executed {
        let (by, page) = (Executor { asid: ASID, vmpl: VMPL, cpl }, page(linear, frame(gpa)));
        let size = PageSize::from_bit(rcx);
        let completion = match kind {
            instruction::Kind::Pvalidate => self.rmp.pvalidate(by, page, size, rdx & 1 != 0),
            instruction::Kind::RmpAdjust => self.rmp.rmpadjust(by, page, size, rdx),
            instruction::Kind::RmpQuery => match self.rmp.rmpquery(by, page, rdx as u8) {
                Ok(query) => {
                    let query = Some([query.size as u64, query.attributes.encode()]);
                    return Executed::Done(Registers { code: ResultCode::Success, carry: None, query });
                }
                Err(completion) => completion,
            },
            instruction::Kind::VmgExit => return Executed::Access(Touched::Refused),
        };
        self.forget(gpa);
        let is_pvalidate = kind == instruction::Kind::Pvalidate;
        match completion {
            Completion::Result { code, carry } => {
                Executed::Done(Registers { code, carry: is_pvalidate.then_some(carry), query: None })
            }
            Completion::GeneralProtection => Executed::GeneralProtection,
            Completion::NotValidated => Executed::Access(Touched::NotValidated),
            // The host gives the guest the page, as for any access of private memory.
            Completion::NestedPageFault(_) => {
                let is_shared = self.rmp.lookup(frame(gpa)).is_some_and(|entry| !entry.assigned);
                let goes_on = is_shared && self.assign(gpa, true);
                Executed::Access(if goes_on { Touched::Again } else { Touched::Refused })
            }
        }
    }
}

/// A small page, which the host has mapped as such.
fn page(gva: u64, gpa: u64) -> Page {
    Page { gva, gpa, spa: gpa, mapped: PageSize::Small }
}

/// What an exit says of an access, in the RMP's terms.
fn kind_of(access: ExitAccess) -> Kind {
    if access.contains(ExitAccess::PAGE_WALK) {
        Kind::TableWalk
    } else if access.contains(ExitAccess::EXECUTE) {
        Kind::Fetch
    } else if access.contains(ExitAccess::WRITE) {
        Kind::Write
    } else {
        Kind::Read
    }
}
