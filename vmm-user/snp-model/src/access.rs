//! The RMP's checks of each access of memory, behind the nested tables (APM 2, 15.36.10, table 15-39; their
//! order is not confirmed by a public source).

use plinth_snp_abi::exit::NpfInfo;
use plinth_snp_abi::rmp::{PageSize, Permissions};

use crate::rmp::{Entry, Rmp};

/// What is done with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is read.
    Read,
    /// It is written.
    Write,
    /// An instruction is fetched.
    Fetch,
    /// The walk of the guest's page tables reads it, and may write accessed and dirty bits.
    TableWalk,
}

/// An access by a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The guest.
    pub asid: u32,
    /// Its VMPL.
    pub vmpl: u8,
    /// Whether the CPL is 3, and the access no implicit one of the system's.
    pub is_user: bool,
    /// What is done.
    pub kind: Kind,
    /// Whether the C-bit, or vTOM, says that the memory is private. Instructions are fetched and tables are
    /// walked in private memory, whatever it says (APM 2, 15.34.5).
    pub is_private: bool,
}

/// Where an access goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The guest physical address, without the C-bit.
    pub gpa: u64,
    /// The system physical address.
    pub spa: u64,
    /// The size of the host's mapping.
    pub mapped: PageSize,
}

/// Why an access is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// A nested page fault with this EXITINFO1: an automatic exit, whose EXITINFO2 is the address.
    NestedPageFault(NpfInfo),
    /// #VC with the error code of a page that is not validated.
    NotValidated,
}

/// A page fault of the host's own, with bit 31 of the error code set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostFault;

impl Access {
    /// Whether it is one to private memory.
    #[must_use]
    pub const fn goes_to_private(&self) -> bool {
        self.is_private || matches!(self.kind, Kind::Fetch | Kind::TableWalk)
    }

    /// The permission that it takes.
    const fn needs(&self) -> Permissions {
        match self.kind {
            Kind::Read => Permissions::READ,
            Kind::Write => Permissions::WRITE,
            Kind::Fetch if self.is_user => Permissions::USER_EXECUTE,
            Kind::Fetch => Permissions::SUPERVISOR_EXECUTE,
            Kind::TableWalk => Permissions::READ.union(Permissions::WRITE),
        }
    }

    /// EXITINFO1 of a nested page fault, without the RMP's reason.
    #[must_use]
    pub fn fault(&self) -> NpfInfo {
        let mut info = NpfInfo::PRESENT;
        info.set(NpfInfo::WRITE, matches!(self.kind, Kind::Write | Kind::TableWalk));
        info.set(NpfInfo::USER, self.is_user || self.kind == Kind::TableWalk);
        info.set(NpfInfo::FETCH, self.kind == Kind::Fetch);
        info.set(NpfInfo::TABLE_WALK, self.kind == Kind::TableWalk);
        info.set(NpfInfo::FINAL, self.kind != Kind::TableWalk);
        info.set(NpfInfo::ENCRYPTED, self.goes_to_private());
        info
    }

    fn denied(&self, reason: NpfInfo) -> Denied {
        Denied::NestedPageFault(self.fault() | NpfInfo::RMP | reason)
    }
}

impl Rmp {
    /// Whether a guest may make an access.
    ///
    /// # Errors
    /// What happens instead of it.
    pub fn check(&self, access: &Access, target: &Target) -> Result<(), Denied> {
        let entry = self.lookup(target.spa);
        if !access.goes_to_private() {
            return Self::check_shared(entry, access);
        }
        let is_here = |entry: &Entry| entry.gpa == target.gpa & !(PageSize::Small.bytes() - 1);
        let owned = entry.filter(|entry| {
            entry.assigned && entry.asid == access.asid && is_here(entry) && !entry.immutable
        });
        let entry = owned.ok_or_else(|| access.denied(NpfInfo::empty()))?;
        if entry.size != target.mapped {
            return Err(access.denied(NpfInfo::SIZE_MISMATCH));
        }
        if !entry.validated {
            return Err(Denied::NotValidated);
        }
        let permissions = entry.permissions.get(usize::from(access.vmpl)).copied().unwrap_or_default();
        if !permissions.contains(access.needs()) {
            return Err(access.denied(NpfInfo::VMPL));
        }
        Ok(())
    }

    /// A guest reads what it likes through a shared mapping, but sees ciphertext of private pages: that is
    /// for the binder. It writes only what is the host's.
    fn check_shared(entry: Option<Entry>, access: &Access) -> Result<(), Denied> {
        // Beyond the table is memory that can't be assigned.
        let is_assigned = entry.is_some_and(|entry| entry.assigned);
        if access.kind == Kind::Write && is_assigned {
            return Err(access.denied(NpfInfo::empty()));
        }
        Ok(())
    }

    /// Whether the host may write through a mapping of this size. It may read everything, but sees
    /// ciphertext.
    ///
    /// # Errors
    /// The page, or one in a large mapping, is a guest's or the firmware's.
    pub fn check_host_write(&self, spa: u64, mapped: PageSize) -> Result<(), HostFault> {
        let start = spa & !(mapped.bytes() - 1);
        let pages = (start..start + mapped.bytes()).step_by(4096);
        let is_assigned = pages.into_iter().any(|page| self.lookup(page).is_some_and(|entry| entry.assigned));
        if is_assigned { Err(HostFault) } else { Ok(()) }
    }
}
