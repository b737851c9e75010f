//! Images of any guest, page by page, for the platforms NATIVE and SEV-SNP: what a recipe with `pages` says,
//! or what an OVMF image becomes. Plinth's own image is made by [`crate::image`].
//!
//! The order is one in which QEMU's loader launches what the file's order says: parameter areas first, so
//! that none follows pages (QEMU launches an insertion before the pages in front of it), then pages, the ID
//! block, and the contexts last.

pub mod start;

use igvm::snp_defs::SevVmsa;
use igvm::{IgvmDirectiveHeader, IgvmFile, IgvmInitializationHeader, IgvmPlatformHeader, IgvmRevision};
use igvm_defs::{
    IGVM_NATIVE_PLATFORM_VERSION, IGVM_SEV_SNP_PLATFORM_VERSION, IGVM_VHS_PARAMETER,
    IGVM_VHS_PARAMETER_INSERT, IGVM_VHS_SNP_ID_BLOCK, IGVM_VHS_SUPPORTED_PLATFORM, IgvmNativeVpContextX64,
    IgvmPageDataFlags, IgvmPageDataType, IgvmPlatformType,
};
use plinth_snp_abi::id_block::GuestPolicy;
use plinth_snp_abi::vmsa::{KVM_VMSA_GPA, Vmsa};
use pvh_loader::file::ParameterKind;
use zerocopy::FromBytes;

use crate::PAGE_BYTES;
use crate::image::ImageError;
use crate::inspect::Range;
use crate::snp::id_block::{self, IdBlockError, Identity, Key};
use crate::snp::launch::{self, LaunchError, Vcpus};
use crate::snp::reader::{PageKind, SnpFile, SnpFileError};

/// The platforms' compatibility masks in our files.
const NATIVE: u32 = 1;
const SNP: u32 = 2;

/// Largest file: offsets in an IGVM file have 32 bits, and the headers take some room.
const MAX_BYTES: u64 = 0xf000_0000;

/// A page and how it is launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Page-aligned.
    pub gpa: u64,
    /// Pages that only SEV-SNP has are left out of the other platform; there, all others are alike.
    pub kind: PageKind,
    /// Up to a page of contents; the rest is zeros.
    pub data: Vec<u8>,
}

/// A parameter of the host's, at the beginning of an area of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterPlace {
    /// Page-aligned.
    pub gpa: u64,
    /// Whole pages.
    pub bytes: u64,
    /// What the host writes.
    pub kind: ParameterKind,
}

/// What SEV-SNP has beside pages.
#[derive(Clone, Debug)]
pub struct SnpPart {
    /// The guest policy.
    pub policy: GuestPolicy,
    /// The states of the first vCPUs, by number.
    pub contexts: Vec<Vmsa>,
    /// The ID block.
    pub id_block: Option<IGVM_VHS_SNP_ID_BLOCK>,
}

/// An image.
#[derive(Clone, Debug, Default)]
pub struct GuestImage {
    /// What must be RAM, in whole pages of less than 4 GiB.
    pub required: Vec<Range>,
    /// What the host is to say.
    pub parameters: Vec<ParameterPlace>,
    /// What is loaded, in this order.
    pub pages: Vec<Page>,
    /// The first processor's state on the platform NATIVE, if the image is for that.
    pub native: Option<IgvmNativeVpContextX64>,
    /// The part for SEV-SNP, if the image is for that.
    pub snp: Option<SnpPart>,
}

impl GuestImage {
    /// The file's bytes.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn write(&self) -> Result<Vec<u8>, ImageError> {
        let bytes: u64 = self.pages.iter().map(|page| page.data.len() as u64).sum();
        if bytes > MAX_BYTES {
            return Err(ImageError::TooLarge(bytes));
        }
        let policy = self.snp.as_ref().map(|snp| IgvmInitializationHeader::GuestPolicy {
            policy: snp.policy.bits(),
            compatibility_mask: SNP,
        });
        // Version 1 has all that is needed here, and every loader reads it.
        let file = IgvmFile::new(
            IgvmRevision::V1,
            self.platforms(),
            policy.into_iter().collect(),
            self.directives()?,
        )?;
        let mut output = Vec::new();
        file.serialize(&mut output)?;
        Ok(output)
    }

    fn platforms(&self) -> Vec<IgvmPlatformHeader> {
        let header = |compatibility_mask, platform_type, platform_version| {
            IgvmPlatformHeader::SupportedPlatform(IGVM_VHS_SUPPORTED_PLATFORM {
                compatibility_mask,
                highest_vtl: 0,
                platform_type,
                platform_version,
                shared_gpa_boundary: 0,
            })
        };
        let native = self.native.is_some();
        let native = native.then(|| header(NATIVE, IgvmPlatformType::NATIVE, IGVM_NATIVE_PLATFORM_VERSION));
        let snp = self.snp.is_some();
        let snp = snp.then(|| header(SNP, IgvmPlatformType::SEV_SNP, IGVM_SEV_SNP_PLATFORM_VERSION));
        native.into_iter().chain(snp).collect()
    }

    /// The bits of all platforms that the image is for.
    fn mask(&self) -> u32 {
        let native = if self.native.is_some() { NATIVE } else { 0 };
        let snp = if self.snp.is_some() { SNP } else { 0 };
        native | snp
    }

    fn directives(&self) -> Result<Vec<IgvmDirectiveHeader>, ImageError> {
        let mut directives = Vec::new();
        for range in &self.required {
            directives.push(IgvmDirectiveHeader::RequiredMemory {
                gpa: range.gpa,
                compatibility_mask: self.mask(),
                number_of_bytes: u32::try_from(range.bytes).map_err(|_| ImageError::TooLarge(range.bytes))?,
                vtl2_protectable: false,
            });
        }
        for (index, place) in (0..).zip(&self.parameters) {
            directives.extend(parameter(index, place, self.mask()));
        }
        for page in &self.pages {
            self.page(page, &mut directives);
        }
        if let Some(snp) = &self.snp {
            directives.extend(snp.id_block.iter().map(|block| id_block::directive(block, SNP)));
        }
        if let Some(context) = &self.native {
            directives.push(IgvmDirectiveHeader::X64NativeVpContext {
                compatibility_mask: NATIVE,
                vp_index: 0,
                context: Box::new(*context),
            });
        }
        for (number, context) in (0..).zip(self.snp.iter().flat_map(|snp| &snp.contexts)) {
            directives.push(IgvmDirectiveHeader::SnpVpContext {
                gpa: KVM_VMSA_GPA,
                compatibility_mask: SNP,
                vp_index: number,
                // Both are the same page.
                vmsa: SevVmsa::read_from_bytes(&context.to_page())
                    .map(Box::new)
                    .map_err(|_| ImageError::TooLarge(PAGE_BYTES))?,
            });
        }
        Ok(directives)
    }

    fn page(&self, page: &Page, directives: &mut Vec<IgvmDirectiveHeader>) {
        let plain = IgvmPageDataFlags::new();
        let (flags, data_type) = match page.kind {
            PageKind::Measured => (plain, IgvmPageDataType::NORMAL),
            PageKind::Unmeasured => (plain.with_unmeasured(true), IgvmPageDataType::NORMAL),
            PageKind::Shared => (plain.with_shared(true), IgvmPageDataType::NORMAL),
            PageKind::Secrets => (plain, IgvmPageDataType::SECRETS),
            PageKind::Cpuid => (plain, IgvmPageDataType::CPUID_DATA),
        };
        let mut add = |compatibility_mask, flags, data_type| {
            // For none of the platforms that the image is for.
            if compatibility_mask == 0 {
                return;
            }
            directives.push(IgvmDirectiveHeader::PageData {
                gpa: page.gpa,
                compatibility_mask,
                flags,
                data_type,
                // Without contents it is a page of zeros, which loaders make themselves.
                data: if page.data.iter().all(|byte| *byte == 0) { Vec::new() } else { page.data.clone() },
            });
        };
        match page.kind {
            PageKind::Measured | PageKind::Unmeasured => add(self.mask(), flags, data_type),
            PageKind::Shared => {
                add(self.mask() & SNP, flags, data_type);
                // NATIVE knows no shared pages: all of them are.
                if self.native.is_some() {
                    add(NATIVE, plain, IgvmPageDataType::NORMAL);
                }
            }
            PageKind::Secrets | PageKind::Cpuid => add(self.mask() & SNP, flags, data_type),
        }
    }
}

/// Why an image can't be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The image is not for SEV-SNP.
    #[error("the image is not for SEV-SNP")]
    Platform,
    /// The image can't be written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// What was written can't be read.
    #[error(transparent)]
    File(#[from] SnpFileError),
    /// There is no launch digest.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The block can't be made.
    #[error(transparent)]
    Block(#[from] IdBlockError),
}

/// Gives an image an ID block for its launch with these vCPUs.
///
/// # Errors
/// [`SignError`].
pub fn signed(
    image: &mut GuestImage,
    vcpus: &Vcpus,
    identity: &Identity,
    id_key: &Key,
    author_key: Option<&Key>,
) -> Result<(), SignError> {
    // The block is in no digest, so that of the image without it is the same.
    let bytes = image.write()?;
    let digest = launch::image_digest(&SnpFile::parse(&bytes)?, vcpus)?;
    let snp = image.snp.as_mut().ok_or(SignError::Platform)?;
    snp.id_block = Some(id_block::sign(digest, snp.policy, identity, id_key, author_key)?);
    Ok(())
}

fn parameter(index: u32, place: &ParameterPlace, mask: u32) -> [IgvmDirectiveHeader; 3] {
    // At the beginning in any case: QEMU's loader ignores an offset of a memory map.
    let at = IGVM_VHS_PARAMETER { parameter_area_index: index, byte_offset: 0 };
    [
        IgvmDirectiveHeader::ParameterArea {
            number_of_bytes: place.bytes,
            parameter_area_index: index,
            initial_data: Vec::new(),
        },
        match place.kind {
            ParameterKind::MemoryMap => IgvmDirectiveHeader::MemoryMap(at),
            ParameterKind::VpCount => IgvmDirectiveHeader::VpCount(at),
            ParameterKind::EnvironmentInfo => IgvmDirectiveHeader::EnvironmentInfo(at),
        },
        IgvmDirectiveHeader::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
            gpa: place.gpa,
            compatibility_mask: mask,
            parameter_area_index: index,
        }),
    ]
}

#[cfg(test)]
mod tests;
