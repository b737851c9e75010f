//! The guest-hypervisor communication block: a page that guest and host share, the events that are handled
//! through it, and the protocol that needs only its MSR.
//!
//! The page is shared, so the other side may write it at any time: copy it, then look at the copy.

pub mod event;
mod page_state;
mod protocol;

pub use page_state::{
    MAX_ENTRIES, PageOperation, PageStateBuffer, PageStateEntry, PageStateHeader, page_state_error,
};
pub use protocol::{CpuidRegister, HvFeatures, ProtocolError, Request, Response};

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// `usage` of a GHCB that has the layout of [`Ghcb`]. As Linux has it.
pub const USAGE_GHCB: u32 = 0;
/// `usage` of a GHCB that has a Hyper-V hypercall. As OpenVMM has it.
pub const USAGE_HYPERCALL: u32 = 1;
/// The oldest version of the protocol that knows SNP.
pub const VERSION_MIN: u16 = 2;
/// Bytes of the part for data.
pub const BUFFER_BYTES: usize = 0x7f0;

/// The page (GHCB, 2.6; as Linux' `struct ghcb` has it). Offsets of registers are those of a VMSA.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Ghcb {
    /// Reserved.
    pub reserved_000: [u8; 0xcb],
    /// The CPL.
    pub cpl: u8,
    /// Reserved.
    pub reserved_0cc: [u8; 0x74],
    /// XSS.
    pub xss: u64,
    /// Reserved.
    pub reserved_148: [u8; 0x18],
    /// DR7.
    pub dr7: u64,
    /// Reserved.
    pub reserved_168: [u8; 0x10],
    /// RIP.
    pub rip: u64,
    /// Reserved.
    pub reserved_180: [u8; 0x58],
    /// RSP.
    pub rsp: u64,
    /// Reserved.
    pub reserved_1e0: [u8; 0x18],
    /// RAX.
    pub rax: u64,
    /// Reserved.
    pub reserved_200: [u8; 0x108],
    /// RCX.
    pub rcx: u64,
    /// RDX.
    pub rdx: u64,
    /// RBX.
    pub rbx: u64,
    /// Reserved.
    pub reserved_320: u64,
    /// RBP.
    pub rbp: u64,
    /// RSI.
    pub rsi: u64,
    /// RDI.
    pub rdi: u64,
    /// R8 to R15.
    pub r8_to_r15: [u64; 8],
    /// Reserved.
    pub reserved_380: [u8; 0x10],
    /// SW_EXITCODE: an exit code, or one of [`event`].
    pub sw_exit_code: u64,
    /// SW_EXITINFO1; from the host, the result: see [`Outcome`].
    pub sw_exit_info_1: u64,
    /// SW_EXITINFO2; from the host, more of the result.
    pub sw_exit_info_2: u64,
    /// SW_SCRATCH: the guest physical address of data.
    pub sw_scratch: u64,
    /// Reserved.
    pub reserved_3b0: [u8; 0x38],
    /// XCR0.
    pub xcr0: u64,
    /// Which of the fields at 0 to 3EFh are valid: a bit for every 8 bytes.
    pub valid_bitmap: [u8; 16],
    /// The guest physical address of x87 state.
    pub x87_state_gpa: u64,
    /// Reserved.
    pub reserved_408: [u8; 0x3f8],
    /// Data.
    pub buffer: [u8; BUFFER_BYTES],
    /// Reserved.
    pub reserved_ff0: [u8; 10],
    /// The protocol's version that this page was filled in by.
    pub protocol_version: u16,
    /// What the page is used for: [`USAGE_GHCB`].
    pub usage: u32,
}

assert_layout!(
    Ghcb, 0x1000, 0x0cb: cpl, 0x140: xss, 0x160: dr7, 0x178: rip, 0x1d8: rsp, 0x1f8: rax, 0x308: rcx,
    0x310: rdx, 0x318: rbx, 0x328: rbp, 0x330: rsi, 0x338: rdi, 0x340: r8_to_r15, 0x390: sw_exit_code,
    0x398: sw_exit_info_1, 0x3a0: sw_exit_info_2, 0x3a8: sw_scratch, 0x3e8: xcr0, 0x3f0: valid_bitmap,
    0x400: x87_state_gpa, 0x800: buffer, 0xffa: protocol_version, 0xffc: usage,
);

/// Where `buffer` lies in the page.
pub const BUFFER_OFFSET: usize = 0x800;

/// A field that has a bit in the bitmap of valid ones; its number is its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs, reason = "the names are those of the fields of Ghcb")]
pub enum Field {
    Cpl = 0x0cb,
    Xss = 0x140,
    Dr7 = 0x160,
    Rip = 0x178,
    Rsp = 0x1d8,
    Rax = 0x1f8,
    Rcx = 0x308,
    Rdx = 0x310,
    Rbx = 0x318,
    Rbp = 0x328,
    Rsi = 0x330,
    Rdi = 0x338,
    R8 = 0x340,
    R9 = 0x348,
    R10 = 0x350,
    R11 = 0x358,
    R12 = 0x360,
    R13 = 0x368,
    R14 = 0x370,
    R15 = 0x378,
    ExitCode = 0x390,
    ExitInfo1 = 0x398,
    ExitInfo2 = 0x3a0,
    Scratch = 0x3a8,
    Xcr0 = 0x3e8,
}

impl Field {
    /// The byte and the bit of `valid_bitmap`.
    const fn bit(self) -> (usize, u8) {
        let word = self as usize / 8;
        (word / 8, 1 << (word % 8))
    }

    const fn bytes(self) -> usize {
        if matches!(self, Self::Cpl) { 1 } else { 8 }
    }
}

impl Ghcb {
    /// A page with nothing in it.
    #[must_use]
    pub fn zeroed() -> Self {
        Self::new_zeroed()
    }

    /// Whether a field is said to be valid.
    #[must_use]
    pub fn is_valid(&self, field: Field) -> bool {
        let (byte, bit) = field.bit();
        self.valid_bitmap.get(byte).is_some_and(|bits| bits & bit != 0)
    }

    /// A field's value; None if it is not valid.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<u64> {
        if !self.is_valid(field) {
            return None;
        }
        let mut value = [0; 8];
        let start = field as usize;
        let bytes = self.as_bytes().get(start..start + field.bytes())?;
        value.get_mut(..field.bytes())?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(value))
    }

    /// Sets a field, and that it is valid. Of a value for the CPL the low byte is taken.
    pub fn set(&mut self, field: Field, value: u64) {
        let (byte, bit) = field.bit();
        if let Some(bits) = self.valid_bitmap.get_mut(byte) {
            *bits |= bit;
        }
        let (start, length) = (field as usize, field.bytes());
        let place = self.as_mut_bytes().get_mut(start..start + length);
        if let (Some(place), Some(bytes)) = (place, value.to_le_bytes().get(..length)) {
            place.copy_from_slice(bytes);
        }
    }

    /// Makes all fields invalid.
    pub fn invalidate(&mut self) {
        self.valid_bitmap = [0; 16];
    }
}

/// What the host says of an event, in SW_EXITINFO1 and SW_EXITINFO2 (GHCB, 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was handled; what SW_EXITINFO2 means depends on the event.
    Done(u64),
    /// The guest is to raise this exception.
    Exception(crate::vmsa::EventInfo),
    /// The host did not take it, because of this.
    Malformed(MalformedInput),
    /// A host that says something undefined.
    Undefined(u64, u64),
}

impl Outcome {
    /// Takes the two fields apart.
    #[must_use]
    pub const fn decode(info_1: u64, info_2: u64) -> Self {
        match info_1 as u32 {
            0 => Self::Done(info_2),
            1 => Self::Exception(crate::vmsa::EventInfo(info_2)),
            2 => match MalformedInput::from_code(info_2) {
                Some(reason) => Self::Malformed(reason),
                None => Self::Undefined(info_1, info_2),
            },
            _ => Self::Undefined(info_1, info_2),
        }
    }

    /// SW_EXITINFO1 and SW_EXITINFO2.
    #[must_use]
    pub const fn encode(self) -> (u64, u64) {
        match self {
            Self::Done(info) => (0, info),
            Self::Exception(event) => (1, event.0),
            Self::Malformed(reason) => (2, reason as u64),
            Self::Undefined(info_1, info_2) => (info_1, info_2),
        }
    }
}

/// Why a host did not take an event (GHCB, 4.1.1; as Linux has it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum MalformedInput {
    /// The GHCB's address was not registered.
    NotRegistered = 1,
    /// `usage` is not known.
    InvalidUsage = 2,
    /// SW_SCRATCH is not where data may be.
    InvalidScratch = 3,
    /// A field that the event needs is not valid.
    MissingInput = 4,
    /// A field has a value that it can't have.
    InvalidInput = 5,
    /// The event is not known, or not supported.
    InvalidEvent = 6,
}

impl MalformedInput {
    /// The reason of a code.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            1 => Self::NotRegistered,
            2 => Self::InvalidUsage,
            3 => Self::InvalidScratch,
            4 => Self::MissingInput,
            5 => Self::InvalidInput,
            6 => Self::InvalidEvent,
            _ => return None,
        })
    }
}
