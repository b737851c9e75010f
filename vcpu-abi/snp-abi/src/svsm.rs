//! The calls of a guest to the SVSM (SVSM, 5 to 9; as Linux and Coconut SVSM have them).
//!
//! RAX is protocol and call, arguments are in RCX, RDX, R8, R9; the result is in RAX. The caller sets
//! `call_pending` of its calling area and asks the host to run VMPL0.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::rmp::PageSize;

/// The calling area of a vCPU, at the start of a page.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CallingArea {
    /// 1 while a call is made; the SVSM sets it to 0.
    pub call_pending: u8,
    /// 1 if memory can be withdrawn.
    pub memory_available: u8,
    /// 1 if the interrupt in service needs no EOI.
    pub no_eoi_required: u8,
    /// Reserved.
    pub reserved: [u8; 5],
}

assert_layout!(CallingArea, 8, 0: call_pending, 1: memory_available, 2: no_eoi_required);

/// Protocols.
pub mod protocol {
    /// The core protocol.
    pub const CORE: u32 = 0;
    /// Attestation.
    pub const ATTESTATION: u32 = 1;
    /// The virtual TPM.
    pub const VTPM: u32 = 2;
    /// The APIC.
    pub const APIC: u32 = 3;
    /// UEFI management mode. As Coconut SVSM has it.
    pub const UEFI_MM: u32 = 4;
}

/// Calls of the core protocol.
pub mod core_call {
    /// SVSM_CORE_REMAP_CA: RCX is the calling area's new address.
    pub const REMAP_CA: u32 = 0;
    /// SVSM_CORE_PVALIDATE: RCX is the address of a [`PvalidateHeader`](super::PvalidateHeader).
    pub const PVALIDATE: u32 = 1;
    /// SVSM_CORE_CREATE_VCPU: RCX is the VMSA's address, RDX the calling area's, R8 the APIC id.
    pub const CREATE_VCPU: u32 = 2;
    /// SVSM_CORE_DELETE_VCPU: RCX is the VMSA's address.
    pub const DELETE_VCPU: u32 = 3;
    /// SVSM_CORE_DEPOSIT_MEM: RCX is the address of a list.
    pub const DEPOSIT_MEM: u32 = 4;
    /// SVSM_CORE_WITHDRAW_MEM: RCX is the address of a list.
    pub const WITHDRAW_MEM: u32 = 5;
    /// SVSM_CORE_QUERY_PROTOCOL: RCX is the protocol and in its lower half a version; RCX returns the newest
    /// version in its upper half and the oldest in its lower, or 0.
    pub const QUERY_PROTOCOL: u32 = 6;
    /// SVSM_CORE_CONFIGURE_VTOM: RCX bit 0 asks whether there is vTOM.
    pub const CONFIGURE_VTOM: u32 = 7;
}

/// Calls of the attestation protocol.
pub mod attestation_call {
    /// SVSM_ATTEST_SERVICES: RCX is the address of an [`AttestationRequest`](super::AttestationRequest);
    /// RCX, RDX, R8 return the bytes of manifest, certificates, report.
    pub const SERVICES: u32 = 0;
    /// SVSM_ATTEST_SINGLE_SERVICE.
    pub const SINGLE_SERVICE: u32 = 1;
}

/// Calls of the vTPM protocol.
pub mod vtpm_call {
    /// SVSM_VTPM_QUERY: RCX returns the platform commands, as bits.
    pub const QUERY: u32 = 0;
    /// SVSM_VTPM_CMD: RCX is the address of a command, which the response replaces.
    pub const COMMAND: u32 = 1;
    /// The one platform command: a TPM command.
    pub const TPM_SEND_COMMAND: u32 = 8;
}

/// Calls of the APIC protocol. As Coconut SVSM has them.
pub mod apic_call {
    /// Which features there are.
    pub const QUERY_FEATURES: u32 = 0;
    /// RCX 0 asks, 1 disables, 2 enables.
    pub const CONFIGURE: u32 = 1;
    /// RCX is a register; RDX returns it.
    pub const READ_REGISTER: u32 = 2;
    /// RCX is a register, RDX its value.
    pub const WRITE_REGISTER: u32 = 3;
    /// RCX bits 7:0 are a vector the host may send, bit 8 enables it, bit 9 is for all.
    pub const CONFIGURE_VECTOR: u32 = 4;
}

/// Results, in RAX.
pub mod result {
    /// SVSM_SUCCESS.
    pub const SUCCESS: u64 = 0;
    /// SVSM_ERR_INCOMPLETE: call again.
    pub const INCOMPLETE: u64 = 0x8000_0000;
    /// SVSM_ERR_UNSUPPORTED_PROTOCOL.
    pub const UNSUPPORTED_PROTOCOL: u64 = 0x8000_0001;
    /// SVSM_ERR_UNSUPPORTED_CALL.
    pub const UNSUPPORTED_CALL: u64 = 0x8000_0002;
    /// SVSM_ERR_INVALID_ADDRESS.
    pub const INVALID_ADDRESS: u64 = 0x8000_0003;
    /// SVSM_ERR_INVALID_FORMAT.
    pub const INVALID_FORMAT: u64 = 0x8000_0004;
    /// SVSM_ERR_INVALID_PARAMETER.
    pub const INVALID_PARAMETER: u64 = 0x8000_0005;
    /// SVSM_ERR_INVALID_REQUEST.
    pub const INVALID_REQUEST: u64 = 0x8000_0006;
    /// SVSM_ERR_BUSY: call again.
    pub const BUSY: u64 = 0x8000_0007;
    /// The first of a protocol's own results. PVALIDATE's are its result codes added to this.
    pub const PROTOCOL_BASE: u64 = 0x8000_1000;
    /// PVALIDATE: a large page of which the RMP has small ones.
    pub const PVALIDATE_SIZE_MISMATCH: u64 = PROTOCOL_BASE + 6;
    /// PVALIDATE: the page was so before.
    pub const PVALIDATE_NO_CHANGE: u64 = PROTOCOL_BASE + 0x10;
}

/// RAX of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId {
    /// Bits 63:32, one of [`protocol`].
    pub protocol: u32,
    /// Bits 31:0, the call.
    pub call: u32,
}

impl CallId {
    /// Takes RAX apart.
    #[must_use]
    pub const fn decode(rax: u64) -> Self {
        Self { protocol: (rax >> 32) as u32, call: rax as u32 }
    }

    /// Puts RAX together.
    #[must_use]
    pub const fn encode(self) -> u64 {
        (self.protocol as u64) << 32 | self.call as u64
    }
}

/// How many entries a page has room for behind a [`PvalidateHeader`].
pub const PVALIDATE_MAX_ENTRIES: usize = 510;

/// The header of a list of pages to be validated or rescinded, before its entries; all in one page.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PvalidateHeader {
    /// How many entries.
    pub entries: u16,
    /// The first to be handled; the SVSM moves it.
    pub next: u16,
    /// Reserved.
    pub reserved: u32,
}

assert_layout!(PvalidateHeader, 8, 0: entries, 2: next, 4: reserved);

/// An entry of that list.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PvalidateEntry(pub u64);

impl PvalidateEntry {
    /// A page to be validated, or rescinded.
    #[must_use]
    pub const fn new(gfn: u64, size: PageSize, validate: bool, ignore_carry: bool) -> Self {
        Self(gfn << 12 | (ignore_carry as u64) << 3 | (validate as u64) << 2 | size as u64)
    }

    /// Bits 63:12, the frame.
    #[must_use]
    pub const fn gfn(self) -> u64 {
        self.0 >> 12
    }

    /// Bits 1:0, the size; None if it is not defined.
    #[must_use]
    pub const fn size(self) -> Option<PageSize> {
        match self.0 & 3 {
            0 => Some(PageSize::Small),
            1 => Some(PageSize::Large),
            _ => None,
        }
    }

    /// Bit 2, whether it is to be validated.
    #[must_use]
    pub const fn validates(self) -> bool {
        self.0 & 1 << 2 != 0
    }

    /// Bit 3, whether it is no error that the page was so before.
    #[must_use]
    pub const fn ignores_carry(self) -> bool {
        self.0 & 1 << 3 != 0
    }

    /// Whether one of bits 11:4 is set.
    #[must_use]
    pub const fn has_reserved(self) -> bool {
        self.0 & 0xff0 != 0
    }
}

/// An address and how many bytes there are.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Buffer {
    /// The guest physical address.
    pub gpa: u64,
    /// The bytes.
    pub bytes: u32,
    /// Reserved.
    pub reserved: u32,
}

assert_layout!(Buffer, 16, 0: gpa, 8: bytes);

/// What RCX of the attestation calls is the address of.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct AttestationRequest {
    /// Where the report goes.
    pub report: Buffer,
    /// The nonce; its `bytes` are the lower 16 bits.
    pub nonce: Buffer,
    /// Where the manifest goes.
    pub manifest: Buffer,
    /// Where the certificates go.
    pub certificates: Buffer,
    /// The service, for [`attestation_call::SINGLE_SERVICE`]: a GUID as UEFI lays it out.
    pub service_guid: [u8; 16],
    /// The manifest's version.
    pub manifest_version: u32,
    /// Reserved.
    pub reserved: u32,
}

assert_layout!(
    AttestationRequest, 0x58, 0: report, 0x10: nonce, 0x20: manifest, 0x30: certificates,
    0x40: service_guid, 0x50: manifest_version,
);

/// The service GUID of the vTPM, c476f1eb-0123-45a5-9641-b4e7dde5bfe3, as UEFI lays it out. As Coconut SVSM
/// has it.
pub const VTPM_SERVICE_GUID: [u8; 16] =
    [0xeb, 0xf1, 0x76, 0xc4, 0x23, 0x01, 0xa5, 0x45, 0x96, 0x41, 0xb4, 0xe7, 0xdd, 0xe5, 0xbf, 0xe3];

/// A TPM command behind the address in RCX of [`vtpm_call::COMMAND`]; the command's bytes follow.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct VtpmCommandHeader {
    /// [`vtpm_call::TPM_SEND_COMMAND`].
    pub command: u32,
    /// The locality.
    pub locality: u8,
    /// Bytes of the TPM command.
    pub bytes: u32,
}

assert_layout!(VtpmCommandHeader, 9, 0: command, 4: locality, 5: bytes);
