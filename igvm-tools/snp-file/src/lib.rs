//! What an IGVM file has for SEV-SNP.
//!
//! The loader's own parser reads the container and the directives that all platforms have; what SEV-SNP adds
//! is decoded here. Source: the specification in the crate `igvm_defs`. A file may be anybody's: everything
//! is checked once, by [`SnpFile::parse`], and held in full. [`launch`] has the order in which a host
//! launches it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod directive;
mod error;
pub mod launch;

use alloc::vec::Vec;

use igvm_defs::{
    IGVM_SEV_SNP_PLATFORM_VERSION, IGVM_VHS_GUEST_POLICY, IgvmPlatformType, IgvmVariableHeaderType,
};
use plinth_snp_abi::id_block::GuestPolicy;
use plinth_snp_abi::vmsa::Vmsa;
use pvh_loader::file::{Container, FileError, Header, ParameterAreas, Section};

pub use directive::{Context, IdBlockHeader, PageAttributes, PageKind, SnpDirective};
pub use error::SnpFileError;

/// Bytes of a page.
pub(crate) const PAGE_BYTES: u64 = plinth_snp_abi::PAGE_BYTES as u64;

/// The most processors whose contexts a file may have.
const CONTEXTS_MAX: usize = 512;

/// The most bytes of a parameter area.
const AREA_MAX: u64 = 16 << 20;

/// The SEV-SNP half of a file, checked.
#[derive(Clone, Debug)]
pub struct SnpFile<'a> {
    policy: Option<GuestPolicy>,
    directives: Vec<Placed<'a>>,
}

/// A directive and its number among all directives of the file, those of other platforms included.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// The number. QEMU's loader joins only pages whose directives follow each other at once.
    pub number: usize,
    /// What it says.
    pub directive: SnpDirective<'a>,
}

impl<'a> SnpFile<'a> {
    /// Reads the container and all that applies to SEV-SNP.
    ///
    /// # Errors
    /// The first thing that is wrong; [`SnpFileError::NoPlatform`] if the file is not for SEV-SNP.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SnpFileError> {
        let container = Container::parse(bytes)?;
        // What lies behind the end that the file itself says would be in no digest.
        if container.bytes().len() != bytes.len() {
            return Err(SnpFileError::Trailing(bytes.len() - container.bytes().len()));
        }
        let found = container.find_platform(IgvmPlatformType::SEV_SNP)?;
        let (offset, platform) = found.ok_or(SnpFileError::NoPlatform)?;
        if platform.platform_version != IGVM_SEV_SNP_PLATFORM_VERSION {
            return Err(FileError::Platform { offset }.into());
        }
        let mut reader = Reader {
            container,
            mask: platform.compatibility_mask,
            number: 0,
            areas: ParameterAreas::default(),
            file: SnpFile { policy: None, directives: Vec::new() },
        };
        container.for_each(|section, header| match section {
            Section::Platform => Ok(()),
            Section::Initialization => reader.initialization(header),
            Section::Directive => reader.directive(header),
        })?;
        Ok(reader.file)
    }

    /// The guest policy, if the file has one.
    pub fn policy(&self) -> Option<GuestPolicy> {
        self.policy
    }

    /// What is loaded, in file order.
    pub fn directives(&self) -> &[Placed<'a>] {
        &self.directives
    }

    /// The contexts, in file order, each with the number of its vCPU.
    pub fn contexts(&self) -> impl Iterator<Item = Context<'a>> + '_ {
        self.directives.iter().filter_map(|placed| match placed.directive {
            SnpDirective::Context(context) => Some(context),
            _ => None,
        })
    }

    /// The ID block, if the file has one.
    pub fn id_block(&self) -> Option<IdBlockHeader<'a>> {
        self.directives.iter().find_map(|placed| match placed.directive {
            SnpDirective::IdBlock(block) => Some(block),
            _ => None,
        })
    }
}

impl Context<'_> {
    /// The state as fields.
    pub fn vmsa(&self) -> Vmsa {
        Vmsa::from_page(self.page)
    }
}

/// A file's headers as they are gone through.
struct Reader<'a> {
    container: Container<'a>,
    mask: u32,
    number: usize,
    areas: ParameterAreas,
    file: SnpFile<'a>,
}

impl<'a> Reader<'a> {
    fn initialization(&mut self, header: Header<'_>) -> Result<(), SnpFileError> {
        if header.kind != IgvmVariableHeaderType::IGVM_VHT_GUEST_POLICY {
            return if header.optional { Ok(()) } else { Err(header.unsupported().into()) };
        }
        let policy: IGVM_VHS_GUEST_POLICY = header.fixed()?;
        if policy.compatibility_mask & self.mask == 0 {
            return Ok(());
        }
        if policy.reserved != 0 {
            return Err(FileError::Reserved { offset: header.offset }.into());
        }
        // Of two, the last one would count in silence.
        match self.file.policy.replace(GuestPolicy::from_bits_retain(policy.policy)) {
            None => Ok(()),
            Some(_) => Err(SnpFileError::Twice { offset: header.offset, what: "guest policy" }),
        }
    }

    fn directive(&mut self, header: Header<'a>) -> Result<(), SnpFileError> {
        let number = self.number;
        self.number += 1;
        let Some(directive) = directive::decode(&self.container, header, self.mask)? else { return Ok(()) };
        self.check(header, &directive)?;
        self.file.directives.push(Placed { number, directive });
        Ok(())
    }

    /// Checks a directive against those before it.
    fn check(&mut self, header: Header<'_>, directive: &SnpDirective<'_>) -> Result<(), SnpFileError> {
        match directive {
            SnpDirective::Common(common) => {
                let inserted = self.areas.follow(common)?;
                // Each page of it is launched, so their number is bounded.
                if let Some((area, _)) = inserted.filter(|(area, _)| area.bytes == 0 || area.bytes > AREA_MAX)
                {
                    return Err(SnpFileError::Area(area.index));
                }
            }
            SnpDirective::Context(context) => {
                let mut others = self.file.contexts();
                if others.any(|other| other.vcpu == context.vcpu) {
                    return Err(SnpFileError::Twice { offset: header.offset, what: "context of this vCPU" });
                }
                if self.file.contexts().count() >= CONTEXTS_MAX {
                    return Err(SnpFileError::TooManyContexts);
                }
            }
            SnpDirective::IdBlock(_) if self.file.id_block().is_some() => {
                return Err(SnpFileError::Twice { offset: header.offset, what: "ID block" });
            }
            SnpDirective::IdBlock(_) | SnpDirective::Page { .. } => {}
        }
        Ok(())
    }
}

/// The bytes of a page.
pub type PageBytes = [u8; PAGE_BYTES as usize];
