//! Guest messages, by which a guest talks to the firmware over the host's head, and what they carry:
//! attestation reports, derived keys, the TSC's factor (SNP ABI, 7 and 8.26).

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::id_block::EcdsaSignature;

/// `algorithm` of a message: AES-256-GCM.
pub const AES_256_GCM: u8 = 1;
/// `header_version` of a message.
pub const HEADER_VERSION: u8 = 1;
/// `message_version` of requests and responses.
pub const MESSAGE_VERSION: u8 = 1;
/// How many bytes a payload may have.
pub const MAX_PAYLOAD: usize = 0xfa0;

/// Types of messages. A response has the request's number and one (SNP ABI, 8.26, table 100).
pub mod message_type {
    /// MSG_CPUID_REQ.
    pub const CPUID_REQUEST: u8 = 1;
    /// MSG_CPUID_RSP.
    pub const CPUID_RESPONSE: u8 = 2;
    /// MSG_KEY_REQ.
    pub const KEY_REQUEST: u8 = 3;
    /// MSG_KEY_RSP.
    pub const KEY_RESPONSE: u8 = 4;
    /// MSG_REPORT_REQ.
    pub const REPORT_REQUEST: u8 = 5;
    /// MSG_REPORT_RSP.
    pub const REPORT_RESPONSE: u8 = 6;
    /// MSG_TSC_INFO_REQ.
    pub const TSC_INFO_REQUEST: u8 = 17;
    /// MSG_TSC_INFO_RSP.
    pub const TSC_INFO_RESPONSE: u8 = 18;
}

/// `status` of responses.
pub mod status {
    /// Done.
    pub const SUCCESS: u32 = 0;
    /// A parameter is wrong.
    pub const INVALID_PARAMETER: u32 = 0x16;
    /// The key that is selected is not there.
    pub const INVALID_KEY: u32 = 0x27;
}

/// The header of a guest message (as Linux' `struct snp_guest_msg_hdr` has it).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MessageHeader {
    /// The authentication tag, of which 16 bytes are used.
    pub tag: [u8; 0x20],
    /// The sequence number, whose bytes are the start of the initialization vector.
    pub sequence_number: u64,
    /// Reserved.
    pub reserved_28: u64,
    /// [`AES_256_GCM`]. From here on the header is authenticated.
    pub algorithm: u8,
    /// [`HEADER_VERSION`].
    pub header_version: u8,
    /// Bytes of this header.
    pub header_size: u16,
    /// [`message_type`].
    pub message_type: u8,
    /// [`MESSAGE_VERSION`].
    pub message_version: u8,
    /// Bytes of the payload.
    pub message_size: u16,
    /// Reserved.
    pub reserved_38: u32,
    /// Which VMPCK encrypts the message.
    pub vmpck: u8,
    /// Reserved.
    pub reserved_3d: [u8; 0x23],
}

assert_layout!(
    MessageHeader, 0x60, 0: tag, 0x20: sequence_number, 0x30: algorithm, 0x31: header_version,
    0x32: header_size, 0x34: message_type, 0x35: message_version, 0x36: message_size, 0x3c: vmpck,
);

/// The bytes of the header that are authenticated.
pub const AUTHENTICATED: core::ops::Range<usize> = 0x30..0x60;

impl MessageHeader {
    /// The initialization vector: the sequence number, then zeros.
    #[must_use]
    pub fn initialization_vector(&self) -> [u8; 12] {
        let mut vector = [0; 12];
        if let Some(place) = vector.first_chunk_mut() {
            *place = self.sequence_number.to_le_bytes();
        }
        vector
    }
}

/// MSG_REPORT_REQ.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ReportRequest {
    /// What the report is to have in it.
    pub report_data: [u8; 64],
    /// The VMPL it is to speak of, the caller's or a lower one.
    pub vmpl: u32,
    /// KEY_SEL: 0 VLEK if there is one, else VCEK; 1 VCEK; 2 VLEK.
    pub key_select: u32,
    /// Reserved.
    pub reserved: [u8; 0x18],
}

assert_layout!(ReportRequest, 0x60, 0: report_data, 0x40: vmpl, 0x44: key_select);

/// MSG_REPORT_RSP.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ReportResponse {
    /// [`status`].
    pub status: u32,
    /// Bytes of the report.
    pub report_size: u32,
    /// Reserved.
    pub reserved: [u8; 0x18],
    /// The report.
    pub report: AttestationReport,
}

assert_layout!(ReportResponse, 0x4c0, 0: status, 4: report_size, 0x20: report);

/// TCB_VERSION of Milan and Genoa: the versions of what the platform's security rests on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct TcbVersion {
    /// The boot loader.
    pub boot_loader: u8,
    /// The operating system of the AMD-SP.
    pub tee: u8,
    /// Reserved.
    pub reserved: [u8; 4],
    /// The SNP firmware.
    pub snp: u8,
    /// The microcode.
    pub microcode: u8,
}

assert_layout!(TcbVersion, 8, 0: boot_loader, 1: tee, 6: snp, 7: microcode);

/// A version of the firmware.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FirmwareVersion {
    /// The build.
    pub build: u8,
    /// The minor version.
    pub minor: u8,
    /// The major version.
    pub major: u8,
    /// Reserved.
    pub reserved: u8,
}

bitflags! {
    /// PLATFORM_INFO.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PlatformInfo: u64 {
        /// Simultaneous multithreading is on.
        const SMT = 1 << 0;
        /// All memory is encrypted.
        const TSME = 1 << 1;
        /// Memory has ECC.
        const ECC = 1 << 2;
        /// Power readings are off.
        const RAPL_DISABLED = 1 << 3;
        /// Ciphertext is hidden.
        const CIPHERTEXT_HIDING = 1 << 4;
        /// No two addresses of memory were found to be the same.
        const ALIAS_CHECK = 1 << 5;
    }
}

/// `flags` of a report.
pub mod report_flags {
    /// The author's key is in `author_key_digest`.
    pub const AUTHOR_KEY: u32 = 1 << 0;
    /// CHIP_ID is masked.
    pub const MASK_CHIP_KEY: u32 = 1 << 1;
    /// Bits 4:2, signed by the VCEK.
    pub const SIGNED_BY_VCEK: u32 = 0 << 2;
    /// Bits 4:2, signed by the VLEK.
    pub const SIGNED_BY_VLEK: u32 = 1 << 2;
    /// Bits 4:2, not signed.
    pub const NOT_SIGNED: u32 = 7 << 2;
}

/// ATTESTATION_REPORT (SNP ABI, 7.3, table 23).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct AttestationReport {
    /// The version of this layout: 2 and up.
    pub version: u32,
    /// The guest's security version, of its ID block.
    pub guest_svn: u32,
    /// [`GuestPolicy`](crate::id_block::GuestPolicy).
    pub policy: u64,
    /// The guest's family, of its ID block.
    pub family_id: [u8; 16],
    /// The guest's image, of its ID block.
    pub image_id: [u8; 16],
    /// The VMPL that the report speaks of.
    pub vmpl: u32,
    /// 1: ECDSA over P-384 with SHA-384.
    pub signature_algorithm: u32,
    /// The current TCB.
    pub current_tcb: TcbVersion,
    /// [`PlatformInfo`].
    pub platform_info: u64,
    /// [`report_flags`].
    pub flags: u32,
    /// Reserved.
    pub reserved_04c: u32,
    /// What the guest asked to be in it.
    pub report_data: [u8; 64],
    /// The launch digest.
    pub measurement: [u8; 48],
    /// What the host gave at launch.
    pub host_data: [u8; 32],
    /// The digest of the key that signed the ID block.
    pub id_key_digest: [u8; 48],
    /// The digest of the key that signed that one.
    pub author_key_digest: [u8; 48],
    /// The guest's report id.
    pub report_id: [u8; 32],
    /// The report id of its migration agent; all-ones if there is none.
    pub report_id_ma: [u8; 32],
    /// The TCB that the signing key is derived from.
    pub reported_tcb: TcbVersion,
    /// The processor's family, from version 3 on.
    pub cpuid_family: u8,
    /// The processor's model.
    pub cpuid_model: u8,
    /// The processor's stepping.
    pub cpuid_stepping: u8,
    /// Reserved.
    pub reserved_18b: [u8; 0x15],
    /// The chip.
    pub chip_id: [u8; 64],
    /// The committed TCB.
    pub committed_tcb: TcbVersion,
    /// The firmware's version.
    pub current_version: FirmwareVersion,
    /// The firmware's committed version.
    pub committed_version: FirmwareVersion,
    /// The TCB at launch.
    pub launch_tcb: TcbVersion,
    /// The mitigation vector at launch, from version 5 on.
    pub launch_mitigation_vector: u64,
    /// The mitigation vector now.
    pub current_mitigation_vector: u64,
    /// Reserved.
    pub reserved_208: [u8; 0x98],
    /// The signature of what is before it.
    pub signature: EcdsaSignature,
}

assert_layout!(
    AttestationReport, 0x4a0, 0: version, 0x004: guest_svn, 0x008: policy, 0x010: family_id,
    0x020: image_id, 0x030: vmpl, 0x034: signature_algorithm, 0x038: current_tcb, 0x040: platform_info,
    0x048: flags, 0x050: report_data, 0x090: measurement, 0x0c0: host_data, 0x0e0: id_key_digest,
    0x110: author_key_digest, 0x140: report_id, 0x160: report_id_ma, 0x180: reported_tcb,
    0x188: cpuid_family, 0x189: cpuid_model, 0x18a: cpuid_stepping, 0x1a0: chip_id, 0x1e0: committed_tcb,
    0x1e8: current_version, 0x1ec: committed_version, 0x1f0: launch_tcb, 0x1f8: launch_mitigation_vector,
    0x200: current_mitigation_vector, 0x208: reserved_208, 0x2a0: signature,
);

/// The bytes of a report that are signed.
pub const SIGNED: core::ops::Range<usize> = 0..0x2a0;

impl AttestationReport {
    /// The bytes that are signed.
    #[must_use]
    pub fn signed_bytes(&self) -> &[u8] {
        self.as_bytes().get(SIGNED).unwrap_or_default()
    }
}

bitflags! {
    /// GUEST_FIELD_SELECT of MSG_KEY_REQ: what a key is derived from beside its root.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KeyFields: u64 {
        /// The guest policy.
        const POLICY = 1 << 0;
        /// The image's id.
        const IMAGE_ID = 1 << 1;
        /// The family's id.
        const FAMILY_ID = 1 << 2;
        /// The launch digest.
        const MEASUREMENT = 1 << 3;
        /// The guest's security version.
        const GUEST_SVN = 1 << 4;
        /// The TCB.
        const TCB_VERSION = 1 << 5;
        /// The mitigation vector at launch.
        const LAUNCH_MITIGATION_VECTOR = 1 << 6;
    }
}

/// MSG_KEY_REQ.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct KeyRequest {
    /// Bit 0: 0 the VCEK or VLEK, 1 the VMRK; bits 2:1 which of the former.
    pub root_key_select: u32,
    /// Reserved.
    pub reserved: u32,
    /// [`KeyFields`].
    pub field_select: u64,
    /// The VMPL that goes in, the caller's or a lower one.
    pub vmpl: u32,
    /// The security version that goes in, at most the guest's.
    pub guest_svn: u32,
    /// The TCB that goes in, at most the committed one.
    pub tcb_version: u64,
}

assert_layout!(
    KeyRequest, 0x20, 0: root_key_select, 8: field_select, 0x10: vmpl, 0x14: guest_svn, 0x18: tcb_version,
);

/// MSG_KEY_RSP.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct KeyResponse {
    /// [`status`].
    pub status: u32,
    /// Reserved.
    pub reserved: [u8; 0x1c],
    /// The key.
    pub key: [u8; 32],
}

assert_layout!(KeyResponse, 0x40, 0: status, 0x20: key);

/// MSG_TSC_INFO_REQ.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct TscInfoRequest {
    /// Reserved.
    pub reserved: [u8; 0x80],
}

/// MSG_TSC_INFO_RSP.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct TscInfoResponse {
    /// [`status`].
    pub status: u32,
    /// Reserved.
    pub reserved_04: u32,
    /// The guest's TSC scale, for its VMSAs.
    pub tsc_scale: u64,
    /// The guest's TSC offset.
    pub tsc_offset: u64,
    /// TSC_FACTOR.
    pub tsc_factor: u32,
    /// Reserved.
    pub reserved_1c: [u8; 0x64],
}

assert_layout!(TscInfoResponse, 0x80, 0: status, 8: tsc_scale, 0x10: tsc_offset, 0x18: tsc_factor);

/// An entry of the table of certificates that a host puts before them (GHCB, 4.1.8.1).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CertificateEntry {
    /// Which certificate: a GUID as UEFI lays it out. All zero ends the table.
    pub guid: [u8; 16],
    /// Where it is, from the table's start.
    pub offset: u32,
    /// How many bytes it has.
    pub length: u32,
}

assert_layout!(CertificateEntry, 24, 0: guid, 0x10: offset, 0x14: length);
