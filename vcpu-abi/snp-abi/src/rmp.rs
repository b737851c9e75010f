//! The reverse map table's operands and results: PVALIDATE, RMPADJUST and RMPQUERY of the guest (APM 3,
//! PVALIDATE and following; APM 2, 15.36.5 to 15.36.7), RMPUPDATE, PSMASH and RMPREAD of the host.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many VMPLs there are.
pub const VMPLS: usize = 4;

/// The instructions' bytes.
pub mod opcode {
    /// PVALIDATE.
    pub const PVALIDATE: [u8; 4] = [0xf2, 0x0f, 0x01, 0xff];
    /// RMPADJUST.
    pub const RMPADJUST: [u8; 4] = [0xf3, 0x0f, 0x01, 0xfe];
    /// RMPQUERY. Not confirmed by a public header.
    pub const RMPQUERY: [u8; 4] = [0xf3, 0x0f, 0x01, 0xfd];
    /// RMPUPDATE.
    pub const RMPUPDATE: [u8; 4] = [0xf2, 0x0f, 0x01, 0xfe];
    /// PSMASH.
    pub const PSMASH: [u8; 4] = [0xf3, 0x0f, 0x01, 0xff];
    /// RMPREAD. As Linux has it.
    pub const RMPREAD: [u8; 4] = [0xf2, 0x0f, 0x01, 0xfd];
    /// VMGEXIT, which is VMMCALL with a prefix: F3 or F2.
    pub const VMGEXIT: [u8; 4] = [0xf3, 0x0f, 0x01, 0xd9];
}

/// A size of a page, as bit 0 of ECX and of an RMP entry has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PageSize {
    /// 4 KiB.
    #[default]
    Small = 0,
    /// 2 MiB.
    Large = 1,
}

impl PageSize {
    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Small => crate::PAGE_BYTES as u64,
            Self::Large => crate::LARGE_PAGE_BYTES as u64,
        }
    }

    /// The size that bit 0 of a register says; the other bits are not looked at.
    #[must_use]
    pub const fn from_bit(register: u64) -> Self {
        if register & 1 == 0 { Self::Small } else { Self::Large }
    }
}

/// What PVALIDATE, RMPADJUST and RMPQUERY leave in EAX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultCode {
    /// Done. For PVALIDATE with CF set: the page was so before.
    Success = 0,
    /// FAIL_INPUT: an operand is wrong.
    FailInput = 1,
    /// FAIL_PERMISSION: the target VMPL is none below the caller's, or the caller lacks what it grants.
    FailPermission = 2,
    /// FAIL_INUSE: the VMSA is in use, or another processor has the entry.
    FailInUse = 3,
    /// FAIL_SIZEMISMATCH: a large page of which the RMP has small ones.
    FailSizeMismatch = 6,
}

impl ResultCode {
    /// The result of a code; None for one that is not defined.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            0 => Self::Success,
            1 => Self::FailInput,
            2 => Self::FailPermission,
            3 => Self::FailInUse,
            6 => Self::FailSizeMismatch,
            _ => return None,
        })
    }

    /// The code.
    #[must_use]
    pub const fn code(self) -> u64 {
        self as u64
    }
}

bitflags! {
    /// What a VMPL may do with a page (APM 2, 15.36.7, table 15-38).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Permissions: u8 {
        /// Read.
        const READ = 1 << 0;
        /// Write.
        const WRITE = 1 << 1;
        /// Execute at CPL 3.
        const USER_EXECUTE = 1 << 2;
        /// Execute at CPL 0 to 2.
        const SUPERVISOR_EXECUTE = 1 << 3;
        /// Use as a supervisor shadow stack.
        const SHADOW_STACK = 1 << 4;
    }
}

impl Permissions {
    /// All of the first four, which VMPL0 has of each page.
    pub const FULL: Self = Self::from_bits_truncate(0xf);
}

/// RDX of RMPADJUST and RMPQUERY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RmpAttributes {
    /// Bits 7:0, the target VMPL.
    pub vmpl: u8,
    /// Bits 15:8, its permissions.
    pub permissions: Permissions,
    /// Bit 16, whether the page is a VMSA.
    pub is_vmsa: bool,
}

impl RmpAttributes {
    /// Takes RDX apart; None if a reserved bit is set.
    #[must_use]
    pub const fn decode(rdx: u64) -> Option<Self> {
        if rdx >> 17 != 0 {
            return None;
        }
        let [vmpl, permissions, vmsa, ..] = rdx.to_le_bytes();
        match Permissions::from_bits(permissions) {
            Some(permissions) => Some(Self { vmpl, permissions, is_vmsa: vmsa & 1 != 0 }),
            None => None,
        }
    }

    /// Puts RDX together.
    #[must_use]
    pub const fn encode(self) -> u64 {
        self.vmpl as u64 | (self.permissions.bits() as u64) << 8 | (self.is_vmsa as u64) << 16
    }
}

/// The host's results: PSMASH and RMPUPDATE. As Linux has them.
pub mod host_result {
    /// Done.
    pub const SUCCESS: u64 = 0;
    /// FAIL_INPUT.
    pub const FAIL_INPUT: u64 = 1;
    /// FAIL_PERMISSION.
    pub const FAIL_PERMISSION: u64 = 2;
    /// FAIL_INUSE: another processor has the entry; to be tried again.
    pub const FAIL_IN_USE: u64 = 3;
    /// FAIL_OVERLAP: a large page over small ones, or the other way round; to be tried again.
    pub const FAIL_OVERLAP: u64 = 4;
}

/// An entry as RMPUPDATE takes it. As Linux' `struct rmp_state` has it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RmpUpdateEntry {
    /// The guest physical address.
    pub gpa: u64,
    /// Whether the page is a guest's.
    pub assigned: u8,
    /// [`PageSize`].
    pub page_size: u8,
    /// Whether software can't change the entry.
    pub immutable: u8,
    /// Reserved.
    pub reserved: u8,
    /// The guest.
    pub asid: u32,
}

assert_layout!(RmpUpdateEntry, 16, 0: gpa, 8: assigned, 9: page_size, 10: immutable, 12: asid);

/// An entry as RMPREAD shows it. As Linux' `struct rmpentry` has it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RmpReadEntry {
    /// The guest physical address.
    pub gpa: u64,
    /// Bit 0: assigned.
    pub assigned: u8,
    /// Bit 0: [`PageSize`]; bit 1: the state of the region of 2 MiB.
    pub page_size: u8,
    /// Bit 0: immutable.
    pub immutable: u8,
    /// Reserved.
    pub reserved: u8,
    /// The guest.
    pub asid: u32,
}

assert_layout!(RmpReadEntry, 16, 0: gpa, 8: assigned, 9: page_size, 10: immutable, 12: asid);
