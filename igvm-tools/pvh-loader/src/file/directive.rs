//! The directives for the NATIVE platform, decoded.

use igvm_defs::{
    IGVM_VHS_PAGE_DATA, IGVM_VHS_PARAMETER, IGVM_VHS_PARAMETER_AREA, IGVM_VHS_PARAMETER_INSERT,
    IGVM_VHS_REQUIRED_MEMORY, IGVM_VHS_VP_CONTEXT, IgvmNativeVpContextX64, IgvmPageDataType,
    IgvmVariableHeaderType as Type,
};
use zerocopy::FromBytes;

use super::{FileError, Header, IgvmFile};
use crate::PAGE_BYTES;
use crate::extents::Extent;

/// What the host is asked to write into a parameter area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// An array of `IGVM_VHS_MEMORY_MAP_ENTRY`, ended by one of zero pages or by the area's end.
    MemoryMap,
    /// Number of virtual processors, a `u32`.
    VpCount,
    /// `IgvmEnvironmentInfo`, a `u32`.
    EnvironmentInfo,
}

/// A parameter and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// What to write.
    pub kind: ParameterKind,
    /// Index of the area.
    pub area: u32,
    /// Offset in the area, in bytes.
    pub offset: u32,
}

/// One directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive<'a> {
    /// Put a page there.
    Page {
        /// Page-aligned.
        gpa: u64,
        /// Not part of the platform's launch measurement.
        unmeasured: bool,
        /// Its 4096 bytes; `None` is a page of zeros.
        data: Option<&'a [u8]>,
    },
    /// Declare an area of zeros that parameters are written into.
    ParameterArea {
        /// Any number, unique in the file.
        index: u32,
        /// Whole pages.
        bytes: u64,
    },
    /// Write something only the host knows into an area.
    Parameter(Parameter),
    /// Put an area into memory; it can't be used any more.
    ParameterInsert {
        /// Index of the area.
        area: u32,
        /// Page-aligned.
        gpa: u64,
    },
    /// The state in which the first processor starts.
    VpContext {
        /// The registers: the bytes of an `IgvmNativeVpContextX64`.
        registers: &'a [u8],
    },
    /// This must be RAM.
    RequiredMemory {
        /// Where; page-aligned.
        extent: Extent,
    },
}

impl<'a> IgvmFile<'a> {
    /// Decodes a header of the directive range; `None` if it is not for the NATIVE platform or may be
    /// ignored.
    pub(super) fn directive(&self, header: Header<'a>) -> Result<Option<Directive<'a>>, FileError> {
        match header.kind {
            Type::IGVM_VHT_PAGE_DATA => self.page_data(header),
            Type::IGVM_VHT_PARAMETER_AREA => parameter_area(header).map(Some),
            Type::IGVM_VHT_MEMORY_MAP => parameter(header, ParameterKind::MemoryMap).map(Some),
            Type::IGVM_VHT_VP_COUNT_PARAMETER => parameter(header, ParameterKind::VpCount).map(Some),
            Type::IGVM_VHT_ENVIRONMENT_INFO_PARAMETER => {
                parameter(header, ParameterKind::EnvironmentInfo).map(Some)
            }
            Type::IGVM_VHT_PARAMETER_INSERT => self.parameter_insert(header),
            Type::IGVM_VHT_VP_CONTEXT => self.vp_context(header),
            Type::IGVM_VHT_REQUIRED_MEMORY => self.required_memory(header),
            Type::IGVM_VHT_SNP_ID_BLOCK | Type::IGVM_VHT_VBS_MEASUREMENT
                if !self.begins_with_native(header) =>
            {
                Ok(None)
            }
            // Its maker says that it may be ignored.
            _ if header.optional => Ok(None),
            _ => Err(header.unsupported()),
        }
    }

    fn applies(&self, mask: u32) -> bool {
        mask & self.native_mask != 0
    }

    /// For headers that begin with their compatibility mask.
    fn begins_with_native(&self, header: Header<'_>) -> bool {
        header
            .content
            .get(..4)
            .and_then(|mask| u32::read_from_bytes(mask).ok())
            // A header too short for a mask is not taken for another platform's.
            .is_none_or(|mask| self.applies(mask))
    }

    fn page_data(&self, header: Header<'_>) -> Result<Option<Directive<'a>>, FileError> {
        let page: IGVM_VHS_PAGE_DATA = header.fixed()?;
        if !self.applies(page.compatibility_mask) {
            return Ok(None);
        }
        // Only of what applies: the rest may follow rules that are not known here.
        aligned(header, page.gpa)?;
        if page.reserved != 0 || page.flags.reserved() != 0 {
            return Err(FileError::Reserved { offset: header.offset });
        }
        // Each would change what the page is to the guest, and is not carried out here, so it is not
        // ignored either.
        if page.flags.is_2mb_page() || page.flags.shared() || page.data_type != IgvmPageDataType::NORMAL {
            return Err(FileError::PageKind {
                gpa: page.gpa,
                flags: page.flags.into(),
                kind: page.data_type.0,
            });
        }
        extent(header, page.gpa, PAGE_BYTES)?;
        let data = self.container.page(header.offset, page.file_offset)?;
        Ok(Some(Directive::Page { gpa: page.gpa, unmeasured: page.flags.unmeasured(), data }))
    }

    fn parameter_insert(&self, header: Header<'_>) -> Result<Option<Directive<'a>>, FileError> {
        let insert: IGVM_VHS_PARAMETER_INSERT = header.fixed()?;
        if !self.applies(insert.compatibility_mask) {
            return Ok(None);
        }
        aligned(header, insert.gpa)?;
        Ok(Some(Directive::ParameterInsert { area: insert.parameter_area_index, gpa: insert.gpa }))
    }

    fn vp_context(&self, header: Header<'_>) -> Result<Option<Directive<'a>>, FileError> {
        let place: IGVM_VHS_VP_CONTEXT = header.fixed()?;
        if !self.applies(place.compatibility_mask) {
            return Ok(None);
        }
        if place.reserved != 0 {
            return Err(FileError::Reserved { offset: header.offset });
        }
        // Only the boot processor has a context: the kernel starts the others itself.
        if place.vp_index != 0 {
            return Err(FileError::VpIndex(place.vp_index));
        }
        let outside = FileError::DataRange { offset: header.offset, data: place.file_offset };
        let page = self.container.page(header.offset, place.file_offset)?.ok_or(outside)?;
        let registers = page.get(..size_of::<IgvmNativeVpContextX64>()).ok_or(outside)?;
        Ok(Some(Directive::VpContext { registers }))
    }

    fn required_memory(&self, header: Header<'_>) -> Result<Option<Directive<'a>>, FileError> {
        let memory: IGVM_VHS_REQUIRED_MEMORY = header.fixed()?;
        if !self.applies(memory.compatibility_mask) {
            return Ok(None);
        }
        if memory.reserved != 0 || memory.flags.reserved() != 0 {
            return Err(FileError::Reserved { offset: header.offset });
        }
        aligned(header, memory.gpa)?;
        aligned(header, memory.number_of_bytes.into())?;
        let extent = extent(header, memory.gpa, memory.number_of_bytes.into())?;
        Ok(Some(Directive::RequiredMemory { extent }))
    }
}

fn parameter_area<'a>(header: Header<'_>) -> Result<Directive<'a>, FileError> {
    let area: IGVM_VHS_PARAMETER_AREA = header.fixed()?;
    aligned(header, area.number_of_bytes)?;
    // Initial data is ignored by QEMU's loader: a file that relies on it would differ from loader to loader.
    if area.file_offset != 0 {
        return Err(header.unsupported());
    }
    Ok(Directive::ParameterArea { index: area.parameter_area_index, bytes: area.number_of_bytes })
}

fn parameter<'a>(header: Header<'_>, kind: ParameterKind) -> Result<Directive<'a>, FileError> {
    let parameter: IGVM_VHS_PARAMETER = header.fixed()?;
    let IGVM_VHS_PARAMETER { parameter_area_index: area, byte_offset: offset } = parameter;
    Ok(Directive::Parameter(Parameter { kind, area, offset }))
}

fn aligned(header: Header<'_>, value: u64) -> Result<(), FileError> {
    if value.is_multiple_of(PAGE_BYTES) {
        Ok(())
    } else {
        Err(FileError::Alignment { offset: header.offset, value })
    }
}

fn extent(header: Header<'_>, gpa: u64, bytes: u64) -> Result<Extent, FileError> {
    Extent::new(gpa, bytes).ok_or(FileError::Wraps { offset: header.offset, gpa })
}
