//! Parsing an IGVM file: fixed header, variable headers, and the directives for the NATIVE platform.
//!
//! [`IgvmFile::parse`] checks everything that can be checked without a machine: checksum, ranges, sections,
//! every directive's size, reserved fields and references into the file. What holds an `IgvmFile` may rely on
//! it; the iterators decode again and so still return errors, which then cannot happen.
//!
//! Source: the specification in the crate `igvm_defs`, format versions 1 and 2. Directives of other platforms
//! are skipped; a header of a type not known here is refused unless the file marks it as optional.

mod areas;
mod container;
mod directive;
mod error;

use igvm_defs::{
    IGVM_NATIVE_PLATFORM_VERSION, IGVM_VHS_SUPPORTED_PLATFORM, IGVM_VHT_RANGE_DIRECTIVE, IgvmPlatformType,
    IgvmVariableHeaderType,
};
use zerocopy::FromBytes;

pub use areas::{Area, MAX_AREAS, MAX_PARAMETERS, ParameterAreas};
pub use container::{Container, Header, Headers, Section};
pub use directive::{Directive, Parameter, ParameterKind};
pub use error::FileError;

/// A file that passed every check which needs no machine.
#[derive(Clone, Copy, Debug)]
pub struct IgvmFile<'a> {
    container: Container<'a>,
    native_mask: u32,
}

impl<'a> IgvmFile<'a> {
    /// Parses and checks `bytes`, which may be longer than the file says it is, as a loader's module may be.
    ///
    /// # Errors
    /// The first thing that is wrong, in file order.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FileError> {
        let container = Container::parse(bytes)?;
        // Before any directive: each says by this mask whose it is.
        let native_mask = find_native_platform(&container)?;
        let file = Self { container, native_mask };
        file.check_headers()?;
        Ok(file)
    }

    /// The format version, 1 or 2.
    pub fn version(&self) -> u32 {
        self.container.version()
    }

    /// The file's bytes, without what may have come after it.
    pub fn bytes(&self) -> &'a [u8] {
        self.container.bytes()
    }

    /// Size of the variable headers in bytes.
    pub fn header_bytes(&self) -> usize {
        self.container.header_bytes()
    }

    /// The platforms the file says it is for.
    pub fn platforms(&self) -> impl Iterator<Item = IGVM_VHS_SUPPORTED_PLATFORM> + use<'a> {
        self.container.platforms()
    }

    /// The directives that apply to the NATIVE platform, in file order.
    pub fn directives(&self) -> impl Iterator<Item = Result<Directive<'a>, FileError>> + use<'a> {
        let file = *self;
        self.container.headers().filter_map(move |header| match header {
            Ok(header) if IGVM_VHT_RANGE_DIRECTIVE.contains(&header.kind.0) => {
                file.directive(header).transpose()
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// Walks all headers once: order of sections, known types, every directive, use of parameter areas.
    fn check_headers(&self) -> Result<(), FileError> {
        let mut areas = ParameterAreas::default();
        let mut contexts = 0;
        self.container.for_each(|section, header| {
            match section {
                Section::Platform => {}
                Section::Initialization => self.check_initialization(header)?,
                Section::Directive => {
                    if let Some(directive) = self.directive(header)? {
                        contexts += u32::from(matches!(directive, Directive::VpContext { .. }));
                        areas.follow(&directive)?;
                    }
                }
            }
            Ok(())
        })?;
        // Without one there is nothing to start; of two, one would be passed over in silence.
        if contexts == 1 { Ok(()) } else { Err(FileError::VpContexts(contexts)) }
    }

    /// Initialization headers say what a confidential platform needs before anything is loaded. NATIVE needs
    /// nothing, so one that applies to it is something this loader can't do.
    fn check_initialization(&self, header: Header<'_>) -> Result<(), FileError> {
        // Only the guest policy is known here well enough to see that it is another platform's.
        let policy = header.kind == IgvmVariableHeaderType::IGVM_VHT_GUEST_POLICY;
        let mask = header.content.get(8..12).and_then(|mask| u32::read_from_bytes(mask).ok());
        match mask {
            Some(mask) if policy && mask & self.native_mask == 0 => Ok(()),
            _ if header.optional => Ok(()),
            _ => Err(FileError::Unsupported { offset: header.offset, kind: header.kind.0 }),
        }
    }
}

/// The compatibility mask of the NATIVE platform.
fn find_native_platform(container: &Container<'_>) -> Result<u32, FileError> {
    let found = container.find_platform(IgvmPlatformType::NATIVE)?;
    let (offset, platform) = found.ok_or(FileError::NoNativePlatform)?;
    let usable = platform.platform_version == IGVM_NATIVE_PLATFORM_VERSION
        && platform.shared_gpa_boundary == 0
        && platform.highest_vtl == 0;
    if usable { Ok(platform.compatibility_mask) } else { Err(FileError::Platform { offset }) }
}

#[cfg(test)]
mod tests;
