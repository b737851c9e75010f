//! Who may do what to a page, and the error code if not (APM 2, 5.6 and 8.4.2; SDM 3, 4.6 and 4.7).

use super::{Paging, Trace, Translation, WalkError, entry};
use crate::bits::{CR0_WP, CR4_PAE, CR4_PKE, CR4_SMAP, CR4_SMEP, EFER_LMA, EFER_NXE, FLAG_AC};

/// Error code: the page is present; its rights, or reserved bits, are the reason.
pub(super) const PRESENT: u32 = 1 << 0;
const WRITE: u32 = 1 << 1;
const USER: u32 = 1 << 2;
/// Error code: an entry has a reserved bit set.
pub(super) const RESERVED: u32 = 1 << 3;
const FETCH: u32 = 1 << 4;
const PROTECTION_KEY: u32 = 1 << 5;

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Reads data.
    Read = 0,
    /// Writes data, perhaps after reading it.
    Write = 1,
    /// Fetches code.
    Execute = 2,
}

/// What an access does, and who does it: a word, since caches of translations compare it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Access(u32);

impl core::fmt::Debug for Access {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Access")
            .field("kind", &self.kind())
            .field("user", &self.has(Self::USER))
            .field("smap_off", &self.has(Self::SMAP_OFF))
            .field("probe", &self.is_probe())
            .finish()
    }
}

impl Access {
    const WRITE: u32 = Kind::Write as u32;
    const EXECUTE: u32 = Kind::Execute as u32;
    /// Made at CPL 3, and not implicit: bit 2 of the CPL's successor.
    const USER: u32 = 1 << 2;
    /// Accessed and dirty bits are left alone.
    const PROBE: u32 = 1 << 3;
    /// An explicit data access with RFLAGS.AC set, which SMAP lets pass if it is a supervisor's: the flag.
    const SMAP_OFF: u32 = FLAG_AC as u32;

    /// An access that an instruction makes at `cpl` to its operands.
    #[inline]
    pub const fn explicit(kind: Kind, cpl: u8, rflags: u64) -> Access {
        Access(kind as u32 | (cpl as u32 + 1) & Self::USER | rflags as u32 & Self::SMAP_OFF)
    }

    /// An instruction fetch at `cpl`.
    #[inline]
    pub const fn fetch(cpl: u8) -> Access {
        // SMAP, which RFLAGS.AC lifts, is about data alone.
        Self::explicit(Kind::Execute, cpl, 0)
    }

    /// An access the processor makes of its own, to descriptor tables or the TSS: a supervisor's at any CPL.
    pub const fn implicit(kind: Kind) -> Access {
        // Without RFLAGS.AC: a program that sets it must not lift SMAP for what the processor does by itself.
        Access(kind as u32)
    }

    /// The same access, asked about but not yet made: [`translate`](super::translate) leaves accessed and
    /// dirty bits alone.
    pub const fn probe(self) -> Access {
        Access(self.0 | Self::PROBE)
    }

    /// What it does.
    #[inline]
    pub const fn kind(self) -> Kind {
        match self.0 & (Self::WRITE | Self::EXECUTE) {
            Self::WRITE => Kind::Write,
            Self::EXECUTE => Kind::Execute,
            _ => Kind::Read,
        }
    }

    const fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    pub(super) const fn is_probe(self) -> bool {
        self.has(Self::PROBE)
    }

    /// The page fault this access takes, with `reason` from what was found in the tables.
    #[cold]
    pub(super) fn fault(self, paging: &Paging, address: u64, reason: u32) -> WalkError {
        let mut error_code = reason;
        if self.has(Self::USER) {
            error_code |= USER;
        }
        match self.kind() {
            Kind::Read => {}
            Kind::Write => error_code |= WRITE,
            Kind::Execute => {
                // The bit is only there where the processor tells fetches from reads (SDM 3, 4.7).
                let no_execute = paging.cr4 & CR4_PAE != 0 && paging.efer & EFER_NXE != 0;
                if no_execute || paging.cr4 & CR4_SMEP != 0 {
                    error_code |= FETCH;
                }
            }
        }
        WalkError::Fault { error_code, address }
    }
}

/// What the entries met so far allow.
pub(super) struct Rights {
    /// Bits that all entries have: the rights to write and to use.
    common: u64,
    /// Bits that any entry has: the one that forbids execution.
    any: u64,
    /// The page's protection key.
    key: u32,
}

impl Default for Rights {
    fn default() -> Self {
        Rights { common: u64::MAX, any: 0, key: 0 }
    }
}

impl Rights {
    /// Takes away what `value`, an entry, doesn't allow.
    #[inline]
    pub(super) fn narrow(&mut self, value: u64) {
        // A right holds if every level gives it, a ban if any level has it.
        self.common &= value;
        self.any |= value;
    }

    /// Takes the protection key out of a leaf (APM 2, 5.6.7).
    #[inline]
    pub(super) fn set_key(&mut self, leaf: u64) {
        self.key = (leaf >> 59) as u32 & 0xf;
    }

    #[inline]
    fn writable(&self) -> bool {
        self.common & entry::WRITABLE != 0
    }

    #[inline]
    fn user(&self) -> bool {
        self.common & entry::USER != 0
    }

    #[inline]
    fn executable(&self) -> bool {
        self.any & entry::NO_EXECUTE == 0
    }

    /// Checks the access against everything gathered.
    #[inline]
    pub(super) fn check(&self, paging: &Paging, linear: u64, access: Access) -> Result<(), WalkError> {
        // Found out in any case: the error code names the key even where other rights are missing.
        let is_key_violation = self.violates_key(paging, access);
        if self.allows(paging, access) && !is_key_violation {
            return Ok(());
        }
        let key = if is_key_violation { PROTECTION_KEY } else { 0 };
        Err(access.fault(paging, linear, PRESENT | key))
    }

    #[inline]
    fn allows(&self, paging: &Paging, access: Access) -> bool {
        let is_user = access.has(Access::USER);
        // CR0.WP and EFLAGS.AC loosen the rules for the supervisor alone.
        if is_user && !self.user() {
            return false;
        }
        // SMEP and SMAP keep the supervisor from being made to use what a program has prepared.
        let supervisor_on_user = !is_user && self.user();
        match access.kind() {
            Kind::Execute => self.executable() && !(supervisor_on_user && paging.cr4 & CR4_SMEP != 0),
            Kind::Read | Kind::Write => {
                if supervisor_on_user && paging.cr4 & CR4_SMAP != 0 && !access.has(Access::SMAP_OFF) {
                    return false;
                }
                access.kind() == Kind::Read || self.writable() || (!is_user && paging.cr0 & CR0_WP == 0)
            }
        }
    }

    /// Protection keys guard user pages in long mode against data accesses of everyone (SDM 3, 4.6.2).
    #[inline]
    fn violates_key(&self, paging: &Paging, access: Access) -> bool {
        let applies = paging.cr4 & CR4_PKE != 0 && paging.efer & EFER_LMA != 0 && self.user();
        if !applies || access.kind() == Kind::Execute {
            return false;
        }
        let pair = paging.pkru >> (self.key * 2);
        let (no_access, no_write) = (pair & 1 != 0, pair & 2 != 0);
        // CR0.WP clear lets the supervisor write past the key, as past the page's own right.
        let is_guarded_write =
            access.kind() == Kind::Write && (access.has(Access::USER) || paging.cr0 & CR0_WP != 0);
        no_access || (no_write && is_guarded_write)
    }

    #[inline]
    pub(super) fn translation(&self, gpa: u64, page_bytes: u64, trace: Trace) -> Translation {
        Translation {
            gpa,
            page_bytes,
            writable: self.writable(),
            user: self.user(),
            executable: self.executable(),
            trace,
        }
    }
}
