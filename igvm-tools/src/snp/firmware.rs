//! An IGVM image out of an OVMF image, with which no firmware has to be given to QEMU.

use plinth_snp_abi::id_block::GuestPolicy;
use plinth_snp_abi::vmsa::SevFeatures;

use super::kernel_hashes::KernelHashes;
use super::launch::{self, LaunchError, VCPUS_MAX};
use super::processor::Signature;
use super::reader::PageKind;
use super::vcpu;
use crate::PAGE_BYTES;
use crate::guest_image::{GuestImage, Page, SnpPart};
use crate::ovmf::{Ovmf, Section, SectionKind};

/// How an image is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many vCPUs have a context in it. QEMU wants as many processors at least.
    pub vcpus: u16,
    /// The guest policy.
    pub policy: GuestPolicy,
    /// Memory that holds nothing yet, and an SVSM's calling area, are measured as zeros. Otherwise their
    /// places are measured, but not their contents, which the host may choose.
    pub measure_memory: bool,
    /// The hashes for the page that the firmware has for them.
    pub hashes: Option<KernelHashes>,
}

/// The image: the ROM below 4 GiB, the sections in the order of the metadata, and the vCPUs as QEMU resets
/// them, the first at the reset vector, the others where the firmware wants them.
///
/// # Errors
/// [`LaunchError::Vcpus`], [`LaunchError::NoHashes`], [`LaunchError::HashTable`].
pub fn image(ovmf: &Ovmf<'_>, options: &Options) -> Result<GuestImage, LaunchError> {
    let count = u32::from(options.vcpus);
    if count == 0 || count > VCPUS_MAX {
        return Err(LaunchError::Vcpus(count));
    }
    let hash_page = options.hashes.map(|hashes| launch::hash_page(ovmf, &hashes)).transpose()?;
    let rom = (ovmf.rom_gpa()..).step_by(PAGE_BYTES as usize).zip(ovmf.rom().chunks(PAGE_BYTES as usize));
    let mut pages: Vec<Page> =
        rom.map(|(gpa, data)| Page { gpa, kind: PageKind::Measured, data: data.to_vec() }).collect();
    for section in ovmf.sections() {
        let hashes = hash_page.filter(|_| section.kind == SectionKind::KernelHashes);
        let data = hashes.map(|page| page.to_vec()).unwrap_or_default();
        let kind = page_kind(section, options.measure_memory);
        for gpa in (section.gpa..section.gpa + section.bytes).step_by(PAGE_BYTES as usize) {
            pages.push(Page { gpa, kind, data: data.clone() });
        }
    }
    // RDX would name a model; the firmware does not read it, and the image is for all of them.
    let signature = Signature(0);
    let contexts = (0..options.vcpus).map(|number| {
        let entry = if number == 0 { vcpu::RESET_VECTOR } else { ovmf.ap_entry() };
        vcpu::reset(entry, signature, SevFeatures::SNP_ACTIVE)
    });
    let snp = SnpPart { policy: options.policy, contexts: contexts.collect(), id_block: None };
    Ok(GuestImage { pages, snp: Some(snp), ..GuestImage::default() })
}

fn page_kind(section: &Section, measure_memory: bool) -> PageKind {
    match section.kind {
        SectionKind::Memory | SectionKind::SvsmCallingArea if measure_memory => PageKind::Measured,
        SectionKind::Memory | SectionKind::SvsmCallingArea => PageKind::Unmeasured,
        SectionKind::Secrets => PageKind::Secrets,
        SectionKind::Cpuid => PageKind::Cpuid,
        // Also without hashes: a table that the host put there would be believed.
        SectionKind::KernelHashes => PageKind::Measured,
    }
}

#[cfg(test)]
mod tests;
