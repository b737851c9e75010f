//! The guest's memory with the reverse map (RMP), the nested tables that follow it, and what the host does
//! about pages.
//!
//! The host has all of the guest's memory mapped in small pages. It follows the guest, as KVM with QEMU does:
//! a page that is accessed as private memory while it is shared, or the other way round, becomes so. It does
//! not follow a VMPL below VMPL0.

mod vmsa;

use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_abi::exit::NpfInfo;
use plinth_snp_abi::launch::PageType;
use plinth_snp_abi::rmp::{PageSize, ResultCode};
use plinth_snp_abi::vmsa::{KVM_VMSA_GPA, Vmsa};
use plinth_snp_model::access::{Access, Denied, Kind, Target};
use plinth_snp_model::rmp::guest::{Completion, Executor, Page};
use plinth_snp_model::rmp::{Entry, Rmp, Update};
use plinth_snp_model::sp::{Launch, PlatformCpuid, Status as Refusal};
use runtime::abi::exit::Access as ExitAccess;
use runtime::abi::operation::Permissions;
use runtime::abi::status::Status;

use crate::instruction;
use crate::levels::Levels;
use crate::memory::{C_BIT, Memory};
use crate::nested::Nested;

/// The guest's address-space identifier in the RMP.
pub const ASID: u32 = 1;
/// What comes of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// It is to be made again: the nested tables have changed.
    Again,
    /// The page is not validated.
    NotValidated,
    /// It is one to a device, which has no page.
    Device,
    /// The nested tables will never let it through: a nested page fault with this EXITINFO1, with which the
    /// host can do nothing.
    Refused(NpfInfo),
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
    levels: Levels,
    rmp: Rmp,
    /// Why the nested tables could not be changed when the host did.
    failure: Option<Status>,
}

/// A system physical address that no machine has.
const NO_MEMORY: u64 = !(PAGE - 1);
/// Bytes of a page.
const PAGE: u64 = PAGE_BYTES as u64;

/// The page of a guest physical address.
const fn page_of(gpa: u64) -> u64 {
    gpa & !C_BIT & !(PAGE - 1)
}

impl Machine {
    /// A machine whose memory is all assigned to the guest, and none of it validated.
    pub fn new(memory: Memory, nested: Nested) -> Self {
        let mut rmp = Rmp::new((memory.bytes() / PAGE) as usize);
        for region in memory.regions() {
            for offset in (0..region.gpa.bytes()).step_by(PAGE_BYTES) {
                let gpa = region.gpa.start + offset;
                // Nobody has anything of it yet, so that nothing can be refused.
                let _ = rmp.update(region.spa + offset, assigned(gpa));
            }
        }
        Self { memory, levels: Levels::new(nested), rmp, failure: None }
    }

    /// What there is of VMPLs.
    pub fn levels(&mut self) -> &mut Levels {
        &mut self.levels
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
        page: &[u8; PAGE_BYTES],
        platform: &impl PlatformCpuid,
    ) -> Result<(), Refusal> {
        let mut page = *page;
        let spa = self.memory.spa(gpa, PAGE).ok_or(Refusal::InvalidAddress)?;
        self.launch_at(launch, page_type, [gpa, spa], &mut page, platform)?;
        self.memory.copy_in(gpa, &page).ok_or(Refusal::InvalidAddress)
    }

    /// The same of the state of the vCPU with this number, which is in none of the guest's pages: KVM has it
    /// in memory of its own, here behind the guest's.
    ///
    /// # Errors
    /// As [`Machine::launch`].
    pub fn launch_vmsa(
        &mut self,
        launch: &mut Launch,
        number: u64,
        vmsa: &Vmsa,
        platform: &impl PlatformCpuid,
    ) -> Result<(), Refusal> {
        let spa = self.memory.own(number).ok_or(Refusal::InvalidAddress)?;
        self.launch_at(launch, PageType::Vmsa, [KVM_VMSA_GPA, spa], &mut vmsa.to_page(), platform)
    }

    fn launch_at(
        &mut self,
        launch: &mut Launch,
        page_type: PageType,
        [gpa, spa]: [u64; 2],
        page: &mut [u8; PAGE_BYTES],
        platform: &impl PlatformCpuid,
    ) -> Result<(), Refusal> {
        // Immutable until the firmware has done.
        let update = Update { immutable: true, ..assigned(gpa) };
        self.rmp.update(spa, update).map_err(|_| Refusal::InvalidAddress)?;
        let at = Target { gpa, spa, mapped: PageSize::Small };
        launch.update(&mut self.rmp, page_type, &at, page, platform)
    }

    /// The nested tables have nothing any more at addresses without a C-bit.
    ///
    /// # Errors
    /// The kernel's.
    pub fn forget_without_c_bit(&mut self) -> Result<(), Status> {
        self.levels.forbid_without_c_bit()
    }

    /// Why the nested tables could not be changed, since this was asked last.
    pub fn take_failure(&mut self) -> Option<Status> {
        self.failure.take()
    }

    /// RMPUPDATE: the page becomes the guest's, not validated, or the host's. `false` if that is refused, or
    /// there is no memory.
    pub fn assign(&mut self, gpa: u64, to_guest: bool) -> bool {
        let page = page_of(gpa);
        let Some(spa) = self.memory.spa(page, PAGE) else { return false };
        let update = Update { assigned: to_guest, asid: if to_guest { ASID } else { 0 }, ..assigned(page) };
        let is_done = self.rmp.update(spa, update).is_ok();
        if is_done {
            self.forget(page);
        }
        is_done
    }

    /// The entry of the page at an address of the guest's; `None` if there is no memory.
    fn entry(&self, gpa: u64) -> Option<Entry> {
        self.rmp.lookup(self.memory.spa(page_of(gpa), PAGE)?)
    }

    /// Whether a range is shared: of private pages the host would see ciphertext, and may not write them.
    fn is_shared(&self, gpa: u64, bytes: usize) -> bool {
        let Some(end) = gpa.checked_add(bytes as u64) else { return false };
        let mut pages = (page_of(gpa)..end).step_by(PAGE_BYTES);
        pages.all(|page| self.entry(page).is_some_and(|entry| !entry.assigned))
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
        if let Err(status) = self.levels.forbid(gpa) {
            self.failure = Some(status);
        }
    }

    fn check(&self, gpa: u64, kind: Kind, of: Of) -> Result<(), Denied> {
        let page = page_of(gpa);
        // Where there is no memory the address is one that the table does not have either.
        let spa = self.memory.spa(page, PAGE).unwrap_or(NO_MEMORY);
        self.rmp.check(&self.access(kind, of), &Target { gpa: page, spa, mapped: PageSize::Small })
    }

    fn access(&self, kind: Kind, Of { is_user, is_private }: Of) -> Access {
        Access { asid: ASID, vmpl: self.levels.vmpl(), is_user, kind, is_private }
    }

    /// What the nested tables may let pass at an address. They do not tell a supervisor's fetch from a
    /// user's, nor a walk of the guest's tables from an access of data: what is mapped for a walk can be
    /// written as well.
    fn permissions(&self, gpa: u64, kind: Kind, is_private: bool) -> Permissions {
        let may = |kind, is_user| self.check(gpa, kind, Of { is_user, is_private }).is_ok();
        let is_walk = kind == Kind::TableWalk;
        let mut permissions = Permissions::empty();
        permissions.set(Permissions::READ, is_walk || may(Kind::Read, false));
        permissions.set(Permissions::WRITE, is_walk || may(Kind::Write, false));
        permissions.set(Permissions::EXECUTE, may(Kind::Fetch, false) && may(Kind::Fetch, true));
        permissions
    }

    /// An access that the nested tables did not let through. `has_c_bit`: the guest's tables have a C-bit;
    /// else all of memory is private.
    ///
    /// # Errors
    /// The kernel's.
    pub fn touch(
        &mut self,
        gpa: u64,
        access: ExitAccess,
        is_user: bool,
        has_c_bit: bool,
    ) -> Result<Touched, Status> {
        let kind = kind_of(access);
        let of = Of { is_user, is_private: self.levels.is_private(gpa, has_c_bit) };
        let refused = Touched::Refused(self.access(kind, of).fault());
        // Instructions and page tables are in private memory, whatever the C-bit says.
        let is_private = of.is_private || matches!(kind, Kind::Fetch | Kind::TableWalk);
        let Some(entry) = self.entry(gpa) else {
            // QEMU ends a guest that wants a device to be private memory.
            return Ok(if is_private { refused } else { Touched::Device });
        };
        // The pages are VMPL0's to share: a guest below it could take its GHCB away.
        let follows = self.levels.vmpl() == 0;
        if entry.assigned != is_private && !(follows && self.assign(gpa, is_private)) {
            return Ok(refused);
        }
        match self.check(gpa, kind, of) {
            Ok(()) => {
                let permissions = self.permissions(gpa, kind, of.is_private);
                let is_memory = self.levels.allow(&self.memory, gpa, permissions)?;
                Ok(if is_memory { Touched::Again } else { refused })
            }
            Err(Denied::NotValidated) => Ok(Touched::NotValidated),
            Err(Denied::NestedPageFault(info)) => Ok(Touched::Refused(info)),
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
        let by = Executor { asid: ASID, vmpl: self.levels.vmpl(), cpl };
        let spa = self.memory.spa(page_of(gpa), PAGE).unwrap_or(NO_MEMORY);
        // The host has it mapped as a small one.
        let page = Page { gva: linear, gpa: page_of(gpa), spa, mapped: PageSize::Small };
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
            instruction::Kind::VmgExit => return Executed::Access(Touched::Refused(NpfInfo::empty())),
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
            Completion::NestedPageFault(info) => {
                let is_shared = self.entry(gpa).is_some_and(|entry| !entry.assigned);
                let goes_on = is_shared && self.levels.vmpl() == 0 && self.assign(gpa, true);
                Executed::Access(if goes_on { Touched::Again } else { Touched::Refused(info) })
            }
        }
    }
}

/// By whom an access is, and to what.
#[derive(Clone, Copy)]
struct Of {
    is_user: bool,
    is_private: bool,
}

/// What RMPUPDATE sets to give the guest a page at this address.
const fn assigned(gpa: u64) -> Update {
    Update { assigned: true, size: PageSize::Small, asid: ASID, gpa, immutable: false }
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
