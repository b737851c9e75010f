//! The order in which QEMU and KVM launch a guest, and the digest that comes of it.
//!
//! Pages are taken into the digest in the order of launching. When all are there, KVM adds the VMSA of every
//! vCPU, all at one address: so a digest is one of a number of vCPUs, and of a model of the processor.

mod image;

use plinth_snp_abi::launch::{LaunchDigest, PageType};
use plinth_snp_abi::vmsa::{KVM_VMSA_GPA, SevFeatures, Vmsa};

use super::kernel_hashes::KernelHashes;
use super::processor::Signature;
use super::vcpu;
use crate::PAGE_BYTES;
use crate::ovmf::{Ovmf, SectionKind};

pub use image::image_digest;

/// The most vCPUs: as many as KVM has APIC IDs for.
pub const VCPUS_MAX: u32 = 4096;

/// The machine that a guest is launched in.
#[derive(Clone, Copy, Debug)]
pub struct Vcpus {
    /// How many there are.
    pub count: u32,
    /// Their processor's model.
    pub signature: Signature,
    /// SEV_FEATURES of each.
    pub features: SevFeatures,
}

/// Why there is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// No vCPU, or more than KVM has.
    #[error("a guest has 1 to {VCPUS_MAX} vCPUs, not {0}")]
    Vcpus(u32),
    /// Hashes are given to firmware that checks none.
    #[error("the ROM has no section for hashes: it does not check kernel, initrd and command line")]
    NoHashes,
    /// The table of hashes does not fit into its page.
    #[error("the table of hashes at {0:#x} does not end in its page")]
    HashTable(u64),
    /// A page that is to be shared: QEMU's loader knows none, and makes it private.
    #[error("the page at {0:#x} is to be shared: QEMU's loader has no such pages, so there is no digest")]
    Shared(u64),
    /// A context that is not where KVM has it.
    #[error("the context of vCPU {vcpu} is at {gpa:#x}: QEMU refuses any place but {KVM_VMSA_GPA:#x}")]
    ContextPlace {
        /// The vCPU's number.
        vcpu: u16,
        /// Where it is to be.
        gpa: u64,
    },
    /// A context of a vCPU that there is none of.
    #[error("the file has a context of vCPU {vcpu}, which QEMU refuses with {count} vCPUs")]
    ContextOfNone {
        /// The vCPU's number.
        vcpu: u16,
        /// How many there are.
        count: u32,
    },
}

/// The launch digest of an OVMF image that QEMU loads as firmware (`-bios`, or `-drive if=pflash`), with the
/// hashes that it makes for `-kernel` (`kernel-hashes=on`).
///
/// Source: QEMU, `target/i386/sev.c` (`snp_populate_metadata_pages`): the ROM, the sections in the order of
/// the metadata, and VMSAs.
///
/// # Errors
/// [`LaunchError`].
pub fn ovmf_digest(
    ovmf: &Ovmf<'_>,
    hashes: Option<&KernelHashes>,
    vcpus: &Vcpus,
) -> Result<[u8; 48], LaunchError> {
    let hash_page = hashes.map(|hashes| hash_page(ovmf, hashes)).transpose()?;
    let mut digest = LaunchDigest::new();
    let (pages, _) = ovmf.rom().as_chunks::<{ PAGE_BYTES as usize }>();
    for (gpa, page) in (ovmf.rom_gpa()..).step_by(PAGE_BYTES as usize).zip(pages) {
        digest.measure(PageType::Normal, gpa, page);
    }
    for section in ovmf.sections() {
        for gpa in (section.gpa..section.gpa + section.bytes).step_by(PAGE_BYTES as usize) {
            match (section.kind, &hash_page) {
                (SectionKind::KernelHashes, Some(page)) => digest.measure(PageType::Normal, gpa, page),
                (kind, _) => digest.extend(page_type(kind), gpa, [0; 48]),
            }
        }
    }
    finish(digest, vcpus, ovmf.ap_entry(), &[])
}

/// The page with the table of hashes at its place in the image.
///
/// # Errors
/// [`LaunchError::NoHashes`], [`LaunchError::HashTable`].
pub fn hash_page(ovmf: &Ovmf<'_>, hashes: &KernelHashes) -> Result<[u8; PAGE_BYTES as usize], LaunchError> {
    let gpa = ovmf.hash_table_gpa().ok_or(LaunchError::NoHashes)?;
    hashes.page((gpa % PAGE_BYTES) as usize).ok_or(LaunchError::HashTable(gpa))
}

/// The type of a page that has nothing in it.
fn page_type(kind: SectionKind) -> PageType {
    match kind {
        SectionKind::Memory | SectionKind::SvsmCallingArea | SectionKind::KernelHashes => PageType::Zero,
        SectionKind::Secrets => PageType::Secrets,
        SectionKind::Cpuid => PageType::Cpuid,
    }
}

/// Takes in the VMSAs: those given, by the number of the vCPU, and for the others a reset one: the first
/// processor at the reset vector, the rest at `ap_entry`.
pub(super) fn finish(
    mut digest: LaunchDigest,
    vcpus: &Vcpus,
    ap_entry: u32,
    contexts: &[(u16, Vmsa)],
) -> Result<[u8; 48], LaunchError> {
    if vcpus.count == 0 || vcpus.count > VCPUS_MAX {
        return Err(LaunchError::Vcpus(vcpus.count));
    }
    for number in 0..vcpus.count {
        let given = contexts.iter().find(|(of, _)| u32::from(*of) == number);
        let entry = if number == 0 { vcpu::RESET_VECTOR } else { ap_entry };
        let vmsa = given.map_or_else(
            || vcpu::reset(entry, vcpus.signature, vcpus.features),
            |(_, context)| vcpu::as_started(context),
        );
        digest.measure(PageType::Vmsa, KVM_VMSA_GPA, &vmsa.to_page());
    }
    Ok(digest.value())
}
