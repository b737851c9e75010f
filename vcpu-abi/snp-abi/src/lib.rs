//! What the parties of AMD SEV-SNP exchange: the guest, a paravisor (SVSM) in it, the AMD secure processor
//! (AMD-SP) with its firmware, and the host.
//!
//! A leaf: layouts and codes, and how one is made of the other; what they do is the business of whoever uses
//! them. Structures convert from and to bytes without copying, and hold the bytes as they are: a value that
//! the other party may have chosen is decoded by a function that can say no.
//!
//! Sources, by the names that the modules use:
//!
//! - **APM 2**: AMD64 Architecture Programmer's Manual, volume 2 (24593), chapter 15 and appendix B;
//!   volume 3 (24594) for the instructions.
//! - **GHCB**: SEV-ES Guest-Hypervisor Communication Block Standardization (56421), revision 2.04.
//! - **SNP ABI**: SEV Secure Nested Paging Firmware ABI Specification (56860).
//! - **SVSM**: Secure VM Service Module for SEV-SNP Guests (58019), revision 1.01.
//!
//! What is marked "as Linux has it" was taken from Linux' headers (`asm/sev.h`, `asm/sev-common.h`,
//! `asm/svm.h`) and was not compared with the manual.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

/// Asserts a structure's size, and the offsets of fields.
macro_rules! assert_layout {
    ($type:ty, $size:literal $(, $offset:literal: $field:ident)* $(,)?) => {
        const _: () = {
            assert!(core::mem::size_of::<$type>() == $size);
            $(assert!(core::mem::offset_of!($type, $field) == $offset);)*
        };
    };
}

pub mod cpuid_page;
pub mod doorbell;
pub mod exit;
pub mod ghcb;
pub mod id_block;
pub mod launch;
pub mod report;
pub mod rmp;
pub mod secrets;
pub mod svsm;
pub mod vmsa;

#[cfg(test)]
mod tests;

/// Bytes of a small page, which all of these structures are measured in.
pub const PAGE_BYTES: usize = 4096;
/// Bytes of a large page.
pub const LARGE_PAGE_BYTES: usize = 2 << 20;

/// MSRs of an SNP guest.
pub mod msr {
    /// GHCB: the address of the GHCB, or a word of the MSR protocol (GHCB, 2.3.1).
    pub const GHCB: u32 = 0xc001_0130;
    /// SEV_STATUS: which features are active (APM 2, 15.34.10); see
    /// [`SevFeatures::sev_status`](crate::vmsa::SevFeatures::sev_status).
    pub const SEV_STATUS: u32 = 0xc001_0131;
    /// GUEST_TSC_FREQ: the guest's TSC frequency in MHz, with Secure TSC. As Linux has it.
    pub const GUEST_TSC_FREQ: u32 = 0xc001_0134;
    /// SVSM_CAA: the address of the calling area of this vCPU. No processor has this MSR: #VC handlers do
    /// (SVSM, 6).
    pub const SVSM_CAA: u32 = 0xc001_f000;
}

/// Bits of CPUID leaf 8000_001Fh (APM 3, E.4.17).
pub mod cpuid {
    /// The leaf.
    pub const ENCRYPTION_LEAF: u32 = 0x8000_001f;
    /// EAX: SEV.
    pub const SEV: u32 = 1 << 1;
    /// EAX: SEV-ES.
    pub const SEV_ES: u32 = 1 << 3;
    /// EAX: SEV-SNP.
    pub const SEV_SNP: u32 = 1 << 4;
    /// EAX: VMPLs.
    pub const VMPL: u32 = 1 << 5;
    /// EAX: RMPQUERY.
    pub const RMPQUERY: u32 = 1 << 6;
    /// EAX: the hardware keeps caches coherent across encryption domains.
    pub const COHERENCY: u32 = 1 << 10;
    /// EAX: restricted injection.
    pub const RESTRICTED_INJECTION: u32 = 1 << 12;
    /// EAX: alternate injection.
    pub const ALTERNATE_INJECTION: u32 = 1 << 13;
    /// EAX: debug registers are exchanged with the guest.
    pub const DEBUG_VIRTUALIZATION: u32 = 1 << 14;
    /// EAX: virtual top of memory.
    pub const VTOM: u32 = 1 << 18;
    /// EAX: VMSA register protection. As Linux has it.
    pub const VMSA_REGISTER_PROTECTION: u32 = 1 << 24;
    /// EBX: pages that are validated need not be read to be rid of old lines of caches. As edk2 has it.
    pub const COHERENCY_SFW_NO: u32 = 1 << 31;
    /// EAX: an SVSM is present. No processor sets it: OVMF and #VC handlers do (SVSM, 6).
    pub const SVSM: u32 = 1 << 28;

    /// Bits 5:0 of EBX: the C-bit's position in a page-table entry.
    #[must_use]
    pub const fn c_bit_position(ebx: u32) -> u32 {
        ebx & 0x3f
    }
}
