//! The directives for SEV-SNP, decoded.

use igvm_defs::{
    IGVM_VHS_PAGE_DATA, IGVM_VHS_PARAMETER, IGVM_VHS_PARAMETER_AREA, IGVM_VHS_PARAMETER_INSERT,
    IGVM_VHS_REQUIRED_MEMORY, IGVM_VHS_SNP_ID_BLOCK, IGVM_VHS_VP_CONTEXT, IgvmPageDataType,
    IgvmVariableHeaderType as Type,
};
use pvh_loader::extents::Extent;
use pvh_loader::file::{Container, Directive, FileError, Header, Parameter, ParameterKind};
use zerocopy::FromBytes;

use super::{PageBytes, SnpFileError};
use crate::PAGE_BYTES;

/// How a page is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// Private, its contents measured.
    Measured,
    /// Private, its contents not measured.
    Unmeasured,
    /// Shared with the host.
    Shared,
    /// Filled by the AMD-SP with its secrets.
    Secrets,
    /// A CPUID page that the host makes and the AMD-SP checks.
    Cpuid,
}

/// What of a page's header decides whether QEMU's loader joins it to the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageAttributes {
    /// The platforms that it is for.
    pub mask: u32,
    /// Its flags.
    pub flags: u32,
    /// Its type.
    pub data_type: u16,
}

/// The state in which a vCPU starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a> {
    /// Where the host puts it, by what the file says; KVM has one place for all.
    pub gpa: u64,
    /// The vCPU's number.
    pub vcpu: u16,
    /// The VMSA, a page.
    pub page: &'a PageBytes,
}

/// The ID block, as the bytes of an `IGVM_VHS_SNP_ID_BLOCK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdBlockHeader<'a>(pub &'a [u8]);

impl IdBlockHeader<'_> {
    /// The fields; `None` never, as the length was checked.
    pub fn fields(&self) -> Option<IGVM_VHS_SNP_ID_BLOCK> {
        IGVM_VHS_SNP_ID_BLOCK::read_from_bytes(self.0).ok()
    }
}

/// One directive.
#[derive(Clone, Copy, Debug)]
pub enum SnpDirective<'a> {
    /// Put a page there.
    Page {
        /// Page-aligned.
        gpa: u64,
        /// How.
        kind: PageKind,
        /// Its contents; `None` is a page of zeros.
        data: Option<&'a PageBytes>,
        /// How the file says all this.
        attributes: PageAttributes,
    },
    /// What other platforms have too: required memory, parameter areas, parameters, insertions.
    Common(Directive<'a>),
    /// The state of a vCPU.
    Context(Context<'a>),
    /// What the launch has to fit, signed.
    IdBlock(IdBlockHeader<'a>),
}

/// Decodes a header of the directive range; `None` if it is another platform's, or may be ignored.
pub(super) fn decode<'a>(
    container: &Container<'a>,
    header: Header<'a>,
    mask: u32,
) -> Result<Option<SnpDirective<'a>>, SnpFileError> {
    let decoder = Decoder { container, header, mask };
    match header.kind {
        Type::IGVM_VHT_PAGE_DATA => decoder.page(),
        Type::IGVM_VHT_VP_CONTEXT => decoder.context(),
        Type::IGVM_VHT_SNP_ID_BLOCK => decoder.id_block(),
        Type::IGVM_VHT_PARAMETER_AREA => decoder.area(),
        Type::IGVM_VHT_PARAMETER_INSERT => decoder.insertion(),
        Type::IGVM_VHT_REQUIRED_MEMORY => decoder.required_memory(),
        Type::IGVM_VHT_MEMORY_MAP => decoder.parameter(ParameterKind::MemoryMap),
        Type::IGVM_VHT_VP_COUNT_PARAMETER => decoder.parameter(ParameterKind::VpCount),
        Type::IGVM_VHT_ENVIRONMENT_INFO_PARAMETER => decoder.parameter(ParameterKind::EnvironmentInfo),
        // It begins with its mask.
        Type::IGVM_VHT_VBS_MEASUREMENT if !decoder.applies_at(0) => Ok(None),
        _ if header.optional => Ok(None),
        _ => Err(header.unsupported().into()),
    }
}

type Decoded<'a> = Result<Option<SnpDirective<'a>>, SnpFileError>;

struct Decoder<'c, 'a> {
    container: &'c Container<'a>,
    header: Header<'a>,
    mask: u32,
}

impl<'a> Decoder<'_, 'a> {
    /// Whether the mask at this offset of the content has the platform's bit; a content that has no mask
    /// there is not taken for another platform's.
    fn applies_at(&self, offset: usize) -> bool {
        let mask = self.header.content.get(offset..).and_then(|rest| u32::read_from_prefix(rest).ok());
        mask.is_none_or(|(mask, _)| mask & self.mask != 0)
    }

    fn page(&self) -> Decoded<'a> {
        let page: IGVM_VHS_PAGE_DATA = self.header.fixed()?;
        if page.compatibility_mask & self.mask == 0 {
            return Ok(None);
        }
        self.aligned(page.gpa)?;
        if page.reserved != 0 || page.flags.reserved() != 0 {
            return Err(FileError::Reserved { offset: self.header.offset }.into());
        }
        let (unmeasured, shared) = (page.flags.unmeasured(), page.flags.shared());
        let kind = match page.data_type {
            // Large pages in one piece are launched differently, and no builder makes them.
            _ if page.flags.is_2mb_page() => None,
            IgvmPageDataType::NORMAL => Some(match (unmeasured, shared) {
                (_, true) => PageKind::Shared,
                (true, false) => PageKind::Unmeasured,
                (false, false) => PageKind::Measured,
            }),
            _ if shared => None,
            IgvmPageDataType::SECRETS => Some(PageKind::Secrets),
            IgvmPageDataType::CPUID_DATA | IgvmPageDataType::CPUID_XF => Some(PageKind::Cpuid),
            _ => None,
        };
        let kind = kind.ok_or(SnpFileError::PageKind {
            gpa: page.gpa,
            flags: page.flags.into(),
            kind: page.data_type.0,
        })?;
        self.extent(page.gpa, PAGE_BYTES)?;
        let data = self.bytes(page.file_offset)?;
        // Of a CPUID page some builders say what they would like to have in it; of secrets nobody can.
        if kind == PageKind::Secrets && data.is_some() {
            return Err(SnpFileError::Contents(page.gpa));
        }
        let attributes = PageAttributes {
            mask: page.compatibility_mask,
            flags: page.flags.into(),
            data_type: page.data_type.0,
        };
        Ok(Some(SnpDirective::Page { gpa: page.gpa, kind, data, attributes }))
    }

    fn context(&self) -> Decoded<'a> {
        let place: IGVM_VHS_VP_CONTEXT = self.header.fixed()?;
        if place.compatibility_mask & self.mask == 0 {
            return Ok(None);
        }
        if place.reserved != 0 {
            return Err(FileError::Reserved { offset: self.header.offset }.into());
        }
        let gpa = place.gpa.get();
        self.aligned(gpa)?;
        let outside = FileError::DataRange { offset: self.header.offset, data: place.file_offset };
        let page = self.bytes(place.file_offset)?.ok_or(outside)?;
        Ok(Some(SnpDirective::Context(Context { gpa, vcpu: place.vp_index, page })))
    }

    fn id_block(&self) -> Decoded<'a> {
        let block: IGVM_VHS_SNP_ID_BLOCK = self.header.fixed()?;
        if block.compatibility_mask & self.mask == 0 {
            return Ok(None);
        }
        if block.reserved != [0; 3] || block.author_key_enabled > 1 {
            return Err(FileError::Reserved { offset: self.header.offset }.into());
        }
        Ok(Some(SnpDirective::IdBlock(IdBlockHeader(self.header.content))))
    }

    fn area(&self) -> Decoded<'a> {
        let area: IGVM_VHS_PARAMETER_AREA = self.header.fixed()?;
        self.aligned(area.number_of_bytes)?;
        // QEMU's loader ignores such contents.
        if area.file_offset != 0 {
            return Err(self.header.unsupported().into());
        }
        Ok(common(Directive::ParameterArea { index: area.parameter_area_index, bytes: area.number_of_bytes }))
    }

    fn parameter(&self, kind: ParameterKind) -> Decoded<'a> {
        let IGVM_VHS_PARAMETER { parameter_area_index: area, byte_offset: offset } = self.header.fixed()?;
        Ok(common(Directive::Parameter(Parameter { kind, area, offset })))
    }

    fn insertion(&self) -> Decoded<'a> {
        let insert: IGVM_VHS_PARAMETER_INSERT = self.header.fixed()?;
        if insert.compatibility_mask & self.mask == 0 {
            return Ok(None);
        }
        self.aligned(insert.gpa)?;
        Ok(common(Directive::ParameterInsert { area: insert.parameter_area_index, gpa: insert.gpa }))
    }

    fn required_memory(&self) -> Decoded<'a> {
        let memory: IGVM_VHS_REQUIRED_MEMORY = self.header.fixed()?;
        if memory.compatibility_mask & self.mask == 0 {
            return Ok(None);
        }
        if memory.reserved != 0 || memory.flags.reserved() != 0 {
            return Err(FileError::Reserved { offset: self.header.offset }.into());
        }
        self.aligned(memory.gpa)?;
        self.aligned(memory.number_of_bytes.into())?;
        let extent = self.extent(memory.gpa, memory.number_of_bytes.into())?;
        Ok(common(Directive::RequiredMemory { extent }))
    }

    fn bytes(&self, offset: u32) -> Result<Option<&'a PageBytes>, FileError> {
        let page = self.container.page(self.header.offset, offset)?;
        Ok(page.and_then(|page| page.first_chunk()))
    }

    fn aligned(&self, value: u64) -> Result<(), FileError> {
        if value.is_multiple_of(PAGE_BYTES) {
            Ok(())
        } else {
            Err(FileError::Alignment { offset: self.header.offset, value })
        }
    }

    fn extent(&self, gpa: u64, bytes: u64) -> Result<Extent, FileError> {
        Extent::new(gpa, bytes).ok_or(FileError::Wraps { offset: self.header.offset, gpa })
    }
}

fn common(directive: Directive<'_>) -> Option<SnpDirective<'_>> {
    Some(SnpDirective::Common(directive))
}
