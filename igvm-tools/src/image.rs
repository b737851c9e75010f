//! Writing a layout as an IGVM file: format version 1, platform NATIVE.
//!
//! Only directives that QEMU's loader carries out are used: any other is fatal there, even one marked as
//! optional.

use igvm::{IgvmDirectiveHeader, IgvmFile, IgvmPlatformHeader, IgvmRevision};
use igvm_defs::{
    IGVM_NATIVE_PLATFORM_VERSION, IGVM_VHS_PARAMETER, IGVM_VHS_PARAMETER_INSERT, IGVM_VHS_SUPPORTED_PLATFORM,
    IgvmNativeVpContextX64, IgvmPageDataFlags, IgvmPageDataType, IgvmPlatformType,
};
use vcpu_abi::boot::BOOT_PAGE_VIRTUAL;
use zerocopy::FromZeros;

use crate::layout::{AreaPlace, Layout};

/// The NATIVE platform's compatibility mask in our files.
const NATIVE: u32 = 1;

/// Largest file: offsets in an IGVM file have 32 bits, and the headers take some room.
const MAX_BYTES: u64 = 0xf000_0000;

/// Why a layout can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Over 4 GiB less a margin.
    #[error("the image's {0} bytes of data are too many for an IGVM file")]
    TooLarge(u64),
    /// The crate `igvm` refuses it.
    #[error("the image can't be written as an IGVM file: {0}")]
    Igvm(#[from] igvm::Error),
}

/// The file's bytes.
///
/// # Errors
/// [`ImageError`].
pub fn write(layout: Layout) -> Result<Vec<u8>, ImageError> {
    let context = vp_context(&layout);
    let mut directives = Vec::new();
    // First, so that a loader whose machine is too small says so before it has loaded anything.
    directives.push(IgvmDirectiveHeader::RequiredMemory {
        gpa: layout.window.gpa,
        compatibility_mask: NATIVE,
        // The format has 32 bits for it.
        number_of_bytes: u32::try_from(layout.window.bytes)
            .map_err(|_| ImageError::TooLarge(layout.window.bytes))?,
        vtl2_protectable: false,
    });
    let areas = [layout.memory_map, layout.vp_count, layout.environment_info];
    let kinds =
        [IgvmDirectiveHeader::MemoryMap, IgvmDirectiveHeader::VpCount, IgvmDirectiveHeader::EnvironmentInfo];
    for (index, (area, kind)) in (0..).zip(areas.into_iter().zip(kinds)) {
        directives.extend(parameter(index, area, kind));
    }
    let mut bytes = 0;
    // By address, so that the same parts always make the same file.
    for (gpa, data) in layout.pages.into_iter_ascending() {
        bytes += data.len() as u64;
        directives.push(IgvmDirectiveHeader::PageData {
            gpa,
            compatibility_mask: NATIVE,
            flags: IgvmPageDataFlags::new(),
            data_type: IgvmPageDataType::NORMAL,
            data,
        });
    }
    // The format counts the file's bytes in 32 bits.
    if bytes > MAX_BYTES {
        return Err(ImageError::TooLarge(bytes));
    }
    directives.push(IgvmDirectiveHeader::X64NativeVpContext {
        compatibility_mask: NATIVE,
        vp_index: 0,
        context: Box::new(context),
    });
    // Version 1 has all that is needed here, and every loader reads it.
    let file = IgvmFile::new(IgvmRevision::V1, vec![platform()], Vec::new(), directives)?;
    let mut output = Vec::new();
    file.serialize(&mut output)?;
    Ok(output)
}

fn platform() -> IgvmPlatformHeader {
    IgvmPlatformHeader::SupportedPlatform(IGVM_VHS_SUPPORTED_PLATFORM {
        compatibility_mask: NATIVE,
        highest_vtl: 0,
        platform_type: IgvmPlatformType::NATIVE,
        platform_version: IGVM_NATIVE_PLATFORM_VERSION,
        shared_gpa_boundary: 0,
    })
}

/// An area with one parameter at its start.
fn parameter(
    index: u32,
    place: AreaPlace,
    kind: fn(IGVM_VHS_PARAMETER) -> IgvmDirectiveHeader,
) -> [IgvmDirectiveHeader; 3] {
    [
        IgvmDirectiveHeader::ParameterArea {
            number_of_bytes: place.bytes,
            parameter_area_index: index,
            initial_data: Vec::new(),
        },
        // At the beginning in any case, and with no initial data: QEMU's loader ignores an offset and such
        // data.
        kind(IGVM_VHS_PARAMETER { parameter_area_index: index, byte_offset: 0 }),
        IgvmDirectiveHeader::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
            gpa: place.gpa,
            compatibility_mask: NATIVE,
            parameter_area_index: index,
        }),
    ]
}

/// The state at entry, as `vcpu_abi::boot` promises it. The kernel brings its own GDT and IDT: until then
/// there is none, and an exception shuts the processor down.
fn vp_context(layout: &Layout) -> IgvmNativeVpContextX64 {
    let mut context = IgvmNativeVpContextX64::new_zeroed();
    context.rip = layout.entry;
    context.rsp = layout.stack_top;
    context.rdi = BOOT_PAGE_VIRTUAL;
    // Plinth's loader needs it there: its last instruction moves RAX to CR3.
    context.rax = layout.page_table_root;
    context.cr3 = layout.page_table_root;
    // The bit that is always set, and no other: interrupts stay off until there is an IDT.
    context.rflags = 1 << 1;
    context.cr0 = 1 << 31 | 1 << 16 | 1 << 5 | 1 << 4 | 1; // PG WP NE ET PE
    context.cr4 = 1 << 5; // PAE
    context.efer = 1 << 11 | 1 << 10 | 1 << 8; // NXE LMA LME
    context.code_selector = 0x08;
    context.code_attributes = 0xa09b; // granular, long, present, code, readable, accessed
    context.code_limit = u32::MAX;
    context.data_selector = 0x10;
    context.data_attributes = 0xc093; // granular, 32-bit, present, data, writable, accessed
    context.data_limit = u32::MAX;
    context
}

#[cfg(test)]
pub(crate) mod tests;
