//! The MSR protocol: one word each way, without a GHCB (GHCB, 2.3.1; as Linux and Coconut SVSM have it).

use bitflags::bitflags;

use super::PageOperation;

bitflags! {
    /// What a host can do (GHCB, 2.3.1 and 4.1.11).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct HvFeatures: u64 {
        /// SNP.
        const SNP = 1 << 0;
        /// AP creation.
        const AP_CREATION = 1 << 1;
        /// Restricted injection.
        const RESTRICTED_INJECTION = 1 << 2;
        /// The timer of restricted injection.
        const RESTRICTED_INJECTION_TIMER = 1 << 3;
        /// The list of APIC ids.
        const APIC_ID_LIST = 1 << 4;
        /// More than one VMPL.
        const MULTI_VMPL = 1 << 5;
        /// Page states are changed a page at a time. As Coconut SVSM has it.
        const PAGE_STATE_CHANGE = 1 << 6;
        /// Interrupts beyond the doorbell's first. As Coconut SVSM has it.
        const EXTENDED_INTERRUPTS = 1 << 9;
    }
}

/// Which register of CPUID is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuidRegister {
    /// EAX.
    Eax = 0,
    /// EBX.
    Ebx = 1,
    /// ECX.
    Ecx = 2,
    /// EDX.
    Edx = 3,
}

impl CpuidRegister {
    const fn from_bits(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::Eax,
            1 => Self::Ebx,
            2 => Self::Ecx,
            _ => Self::Edx,
        }
    }
}

/// A word that does not follow the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// Bits 11:0 are no code of a request, or of a response.
    UnknownCode(u64),
    /// A field has a value that it can't have.
    InvalidField(u64),
}

const INFO_MASK: u64 = 0xfff;
const FRAME_MASK: u64 = !INFO_MASK;

/// What a guest writes to the MSR before VMGEXIT. Fields that are frames are guest frame numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The GHCB at this address has an event: bits 11:0 are 0.
    Ghcb {
        /// The page's address.
        gpa: u64,
    },
    /// 002h: which versions, and which C-bit?
    SevInformation,
    /// 004h: CPUID, one register.
    Cpuid {
        /// Bits 63:32, the function.
        function: u32,
        /// Bits 31:30, the register.
        register: CpuidRegister,
    },
    /// 006h: waits for INIT and SIPI.
    ApResetHold,
    /// 010h: where would the host like the GHCB?
    PreferredGhcb,
    /// 012h: the GHCB will be here.
    RegisterGhcb {
        /// Bits 63:12, the frame.
        gfn: u64,
    },
    /// 014h: a page is to be private or shared.
    PageStateChange {
        /// Bits 51:12, the frame.
        gfn: u64,
        /// Bits 55:52, private or shared.
        operation: PageOperation,
    },
    /// 016h: run another VMPL.
    RunVmpl {
        /// Bits 39:32, the VMPL.
        vmpl: u8,
    },
    /// 080h: what can the host do?
    HvFeatures,
    /// 100h: end this guest.
    Terminate {
        /// Bits 15:12, the set of reasons: 0 of the specification, 1 Linux' and OVMF's.
        set: u8,
        /// Bits 23:16, the reason.
        reason: u8,
    },
}

impl Request {
    /// The word.
    #[must_use]
    pub const fn encode(self) -> u64 {
        match self {
            Self::Ghcb { gpa } => gpa & FRAME_MASK,
            Self::SevInformation => 0x002,
            Self::Cpuid { function, register } => (function as u64) << 32 | (register as u64) << 30 | 0x004,
            Self::ApResetHold => 0x006,
            Self::PreferredGhcb => 0x010,
            Self::RegisterGhcb { gfn } => gfn << 12 | 0x012,
            Self::PageStateChange { gfn, operation } => {
                (operation as u64) << 52 | (gfn & ((1 << 40) - 1)) << 12 | 0x014
            }
            Self::RunVmpl { vmpl } => (vmpl as u64) << 32 | 0x016,
            Self::HvFeatures => 0x080,
            Self::Terminate { set, reason } => (reason as u64) << 16 | (set as u64 & 0xf) << 12 | 0x100,
        }
    }

    /// The request of a word. Bits that mean nothing are not looked at.
    ///
    /// # Errors
    /// The word is no request.
    pub const fn decode(word: u64) -> Result<Self, ProtocolError> {
        Ok(match word & INFO_MASK {
            0x000 => Self::Ghcb { gpa: word },
            0x002 => Self::SevInformation,
            0x004 => {
                Self::Cpuid { function: (word >> 32) as u32, register: CpuidRegister::from_bits(word >> 30) }
            }
            0x006 => Self::ApResetHold,
            0x010 => Self::PreferredGhcb,
            0x012 => Self::RegisterGhcb { gfn: word >> 12 },
            0x014 => match PageOperation::from_code(word >> 52 & 0xf) {
                Some(operation @ (PageOperation::Private | PageOperation::Shared)) => {
                    Self::PageStateChange { gfn: word >> 12 & ((1 << 40) - 1), operation }
                }
                _ => return Err(ProtocolError::InvalidField(word)),
            },
            0x016 => Self::RunVmpl { vmpl: (word >> 32 & 0xff) as u8 },
            0x080 => Self::HvFeatures,
            0x100 => Self::Terminate { set: (word >> 12 & 0xf) as u8, reason: (word >> 16 & 0xff) as u8 },
            _ => return Err(ProtocolError::UnknownCode(word)),
        })
    }
}

/// What a guest reads in the MSR after VMGEXIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// 001h.
    SevInformation {
        /// Bits 63:48, the newest version.
        max: u16,
        /// Bits 47:32, the oldest.
        min: u16,
        /// Bits 31:24, the C-bit's position.
        c_bit: u8,
    },
    /// 005h.
    Cpuid {
        /// Bits 63:32, the value.
        value: u32,
        /// Bits 31:30, the register.
        register: CpuidRegister,
    },
    /// 007h.
    ApResetHold {
        /// Bits 63:12: not 0 if a SIPI came.
        woken: u64,
    },
    /// 011h.
    PreferredGhcb {
        /// Bits 63:12, the frame; all-ones if there is none.
        gfn: u64,
    },
    /// 013h.
    RegisterGhcb {
        /// Bits 63:12, the frame that was asked for; another one if the host refuses.
        gfn: u64,
    },
    /// 015h.
    PageStateChange {
        /// Bits 63:32, 0 if it was done.
        error: u32,
    },
    /// 017h.
    RunVmpl {
        /// Bits 63:32, 0 if it ran.
        error: u32,
    },
    /// 081h.
    HvFeatures(
        /// Bits 63:12.
        HvFeatures,
    ),
}

impl Response {
    /// The word.
    #[must_use]
    pub const fn encode(self) -> u64 {
        match self {
            Self::SevInformation { max, min, c_bit } => {
                (max as u64) << 48 | (min as u64) << 32 | (c_bit as u64) << 24 | 0x001
            }
            Self::Cpuid { value, register } => (value as u64) << 32 | (register as u64) << 30 | 0x005,
            Self::ApResetHold { woken } => woken << 12 | 0x007,
            Self::PreferredGhcb { gfn } => gfn << 12 | 0x011,
            Self::RegisterGhcb { gfn } => gfn << 12 | 0x013,
            Self::PageStateChange { error } => (error as u64) << 32 | 0x015,
            Self::RunVmpl { error } => (error as u64) << 32 | 0x017,
            Self::HvFeatures(features) => features.bits() << 12 | 0x081,
        }
    }

    /// The response of a word, which the host chose: a guest still has to see that it fits its request.
    ///
    /// # Errors
    /// The word is no response.
    pub const fn decode(word: u64) -> Result<Self, ProtocolError> {
        let upper = (word >> 32) as u32;
        Ok(match word & INFO_MASK {
            0x001 => Self::SevInformation {
                max: (word >> 48) as u16,
                min: (word >> 32) as u16,
                c_bit: (word >> 24) as u8,
            },
            0x005 => Self::Cpuid { value: upper, register: CpuidRegister::from_bits(word >> 30) },
            0x007 => Self::ApResetHold { woken: word >> 12 },
            0x011 => Self::PreferredGhcb { gfn: word >> 12 },
            0x013 => Self::RegisterGhcb { gfn: word >> 12 },
            0x015 => Self::PageStateChange { error: upper },
            0x017 => Self::RunVmpl { error: upper },
            0x081 => Self::HvFeatures(HvFeatures::from_bits_retain(word >> 12)),
            _ => return Err(ProtocolError::UnknownCode(word)),
        })
    }
}
