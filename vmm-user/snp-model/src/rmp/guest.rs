//! PVALIDATE, RMPADJUST and RMPQUERY, behind the translation of their address (APM 3; the order of the
//! checks is not confirmed by a public source).

use plinth_snp_abi::exit::NpfInfo;
use plinth_snp_abi::rmp::{PageSize, Permissions, ResultCode, RmpAttributes, VMPLS};

use super::{Entry, NOT_VALIDATED, Rmp};

/// Who executes an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executor {
    /// The guest.
    pub asid: u32,
    /// The VMPL.
    pub vmpl: u8,
    /// The CPL.
    pub cpl: u8,
}

/// What the instruction's address was translated to, as private memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The guest virtual address.
    pub gva: u64,
    /// The guest physical address of the small page, without the C-bit.
    pub gpa: u64,
    /// Where the host has mapped it.
    pub spa: u64,
    /// The size of the host's mapping.
    pub mapped: PageSize,
}

/// How such an instruction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// It is complete: EAX, and CF, which PVALIDATE alone changes.
    Result {
        /// EAX.
        code: ResultCode,
        /// CF.
        carry: bool,
    },
    /// #GP with error code 0.
    GeneralProtection,
    /// A nested page fault with this EXITINFO1, which the host handles.
    NestedPageFault(NpfInfo),
    /// #VC with the error code of a page that is not validated.
    NotValidated,
}

impl Completion {
    const fn code(code: ResultCode) -> Self {
        Self::Result { code, carry: false }
    }
}

/// What RMPQUERY returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// RDX: the VMPL's permissions, and whether the page is a VMSA.
    pub attributes: RmpAttributes,
    /// RCX: the size of the RMP's page.
    pub size: PageSize,
}

/// Bits of a nested page fault of the RMP's: the access is a write to private memory.
const DENIED: NpfInfo = NpfInfo::RMP
    .union(NpfInfo::PRESENT)
    .union(NpfInfo::WRITE)
    .union(NpfInfo::FINAL)
    .union(NpfInfo::ENCRYPTED);

impl Rmp {
    /// The entry, if the page is this guest's and is mapped where it belongs.
    fn owned(&self, by: Executor, page: Page) -> Result<Entry, Completion> {
        let entry = self.lookup(page.spa).filter(|entry| {
            let is_here = entry.gpa == page.gpa & !(PageSize::Small.bytes() - 1);
            entry.assigned && entry.asid == by.asid && is_here && !entry.immutable
        });
        entry.ok_or(Completion::NestedPageFault(DENIED))
    }

    /// Compares the operand's size with the RMP's and the host's mapping's.
    fn check_size(entry: &Entry, page: Page, size: PageSize) -> Result<(), Completion> {
        match (size, entry.size) {
            // The host smashes the page and lets the instruction be executed again.
            (PageSize::Small, PageSize::Large) => {
                Err(Completion::NestedPageFault(DENIED | NpfInfo::SIZE_MISMATCH))
            }
            (PageSize::Large, PageSize::Small) => Err(Completion::code(ResultCode::FailSizeMismatch)),
            (PageSize::Large, PageSize::Large) if page.mapped == PageSize::Small => {
                Err(Completion::code(ResultCode::FailSizeMismatch))
            }
            _ => Ok(()),
        }
    }

    fn check_alignment(page: Page, size: PageSize) -> Result<(), Completion> {
        if size == PageSize::Large && page.gva & (PageSize::Large.bytes() - 1) & !0xfff != 0 {
            return Err(Completion::code(ResultCode::FailInput));
        }
        Ok(())
    }

    /// PVALIDATE: sets the page's Validated bit as `validate` says. CF says that it was so before.
    pub fn pvalidate(&mut self, by: Executor, page: Page, size: PageSize, validate: bool) -> Completion {
        self.try_pvalidate(by, page, size, validate).unwrap_or_else(|completion| completion)
    }

    fn try_pvalidate(
        &mut self,
        by: Executor,
        page: Page,
        size: PageSize,
        validate: bool,
    ) -> Result<Completion, Completion> {
        if by.cpl != 0 || by.vmpl != 0 {
            return Err(Completion::GeneralProtection);
        }
        Self::check_alignment(page, size)?;
        let entry = self.owned(by, page)?;
        Self::check_size(&entry, page, size)?;
        let carry = entry.validated == validate;
        if let Some(entry) = self.governing_mut(page.spa).filter(|_| !carry) {
            entry.validated = validate;
            entry.vmsa = false;
            entry.permissions = NOT_VALIDATED;
        }
        Ok(Completion::Result { code: ResultCode::Success, carry })
    }

    /// RMPADJUST: sets what a lower VMPL may do with the page, and whether it is a VMSA. `rdx` is its RDX.
    pub fn rmpadjust(&mut self, by: Executor, page: Page, size: PageSize, rdx: u64) -> Completion {
        self.try_rmpadjust(by, page, size, rdx).unwrap_or_else(|completion| completion)
    }

    fn try_rmpadjust(
        &mut self,
        by: Executor,
        page: Page,
        size: PageSize,
        rdx: u64,
    ) -> Result<Completion, Completion> {
        if by.cpl != 0 {
            return Err(Completion::GeneralProtection);
        }
        let attributes = RmpAttributes::decode(rdx).ok_or(Completion::code(ResultCode::FailInput))?;
        Self::check_alignment(page, size)?;
        if attributes.vmpl <= by.vmpl || usize::from(attributes.vmpl) >= VMPLS {
            return Err(Completion::code(ResultCode::FailPermission));
        }
        let entry = self.validated(by, page)?;
        Self::check_size(&entry, page, size)?;
        self.check_grant(by, &entry, page, attributes)?;
        let permissions = attributes.permissions;
        if let Some(entry) = self.governing_mut(page.spa) {
            entry.vmsa = attributes.is_vmsa;
            if let Some(those) = entry.permissions.get_mut(usize::from(attributes.vmpl)) {
                *those = permissions;
            }
        }
        Ok(Completion::code(ResultCode::Success))
    }

    fn validated(&self, by: Executor, page: Page) -> Result<Entry, Completion> {
        let entry = self.owned(by, page)?;
        if entry.validated { Ok(entry) } else { Err(Completion::NotValidated) }
    }

    /// Whether this VMPL may give what it is about to.
    fn check_grant(
        &self,
        by: Executor,
        entry: &Entry,
        page: Page,
        attributes: RmpAttributes,
    ) -> Result<(), Completion> {
        let own = entry.permissions.get(usize::from(by.vmpl)).copied().unwrap_or(Permissions::empty());
        // VMPL0 has all there is, shadow stacks included; nobody gives away what it lacks.
        let lacks = by.vmpl != 0 && !own.contains(attributes.permissions);
        // VMSAs are VMPL0's business (APM 2, 15.36.12).
        let changes_vmsa = by.vmpl != 0 && attributes.is_vmsa != entry.vmsa;
        if lacks || changes_vmsa {
            return Err(Completion::code(ResultCode::FailPermission));
        }
        // A VMSA is a small page.
        if attributes.is_vmsa && entry.size == PageSize::Large {
            return Err(Completion::code(ResultCode::FailInput));
        }
        if self.is_in_use(page.spa) {
            return Err(Completion::code(ResultCode::FailInUse));
        }
        Ok(())
    }

    /// RMPQUERY: what a VMPL, the caller's or a lower one, may do with the page.
    ///
    /// # Errors
    /// How the instruction ends otherwise.
    pub fn rmpquery(&self, by: Executor, page: Page, vmpl: u8) -> Result<Query, Completion> {
        if by.cpl != 0 {
            return Err(Completion::GeneralProtection);
        }
        if vmpl < by.vmpl || usize::from(vmpl) >= VMPLS {
            return Err(Completion::code(ResultCode::FailPermission));
        }
        let entry = self.validated(by, page)?;
        let permissions = entry.permissions.get(usize::from(vmpl)).copied().unwrap_or_default();
        let attributes = RmpAttributes { vmpl, permissions, is_vmsa: entry.vmsa };
        Ok(Query { attributes, size: entry.size })
    }
}
