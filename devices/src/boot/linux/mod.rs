//! Booting a Linux bzImage: the boot protocol of `arch/x86/boot.rst`, by the 64-bit entry or the 32-bit one.

mod header;
pub mod spec;

use alloc::{vec, vec::Vec};
use core::ops::Range;

use super::entry::{gdt, page_tables};
use super::memory_map::{highest_fit, is_ram, lowest_fit};
use super::{BootError, BootPlan, BootRequest, EntryMode, EntryState, Placement, Source};
use super::{bios_data, bytes_at, layout, with_zero};
use header::field;
pub use header::{BzImage, ImageError};
use spec::{header as h, zero_page as z};

/// Plans the start of a kernel.
///
/// # Errors
/// When memory does not suffice, or the command line is too long.
pub fn plan(request: &BootRequest<'_, BzImage>) -> Result<BootPlan, BootError> {
    // What can be refused is refused before anything is placed. One byte is for the zero at the end.
    request.check(request.kernel.command_line_max.min(layout::COMMAND_LINE_BYTES as usize - 1))?;
    let kernel = place_kernel(request)?;
    let initrd = place_initrd(request, &kernel)?;
    let mode = if request.kernel.has_64_bit_entry() { EntryMode::Long64 } else { EntryMode::Protected32 };
    let mut placements = vec![
        bytes_at(layout::BOOT_PARAMS, boot_params(request, kernel.start, &initrd)),
        bytes_at(layout::COMMAND_LINE, with_zero(request.command_line)),
        bytes_at(layout::GDT, gdt(mode)),
        Placement { gpa: kernel.start, source: Source::Kernel(request.kernel.payload.clone()) },
    ];
    if mode == EntryMode::Long64 {
        placements.push(bytes_at(layout::PAGE_TABLES, page_tables()));
    }
    placements.extend(bios_data::placement(request.memory, &kernel));
    if !initrd.is_empty() {
        placements.push(Placement { gpa: initrd.start, source: Source::Initrd });
    }
    let rip = match mode {
        EntryMode::Long64 => kernel.start.wrapping_add(spec::ENTRY_64),
        EntryMode::Protected32 => kernel.start,
    };
    let entry = EntryState { rsi: layout::BOOT_PARAMS, ..EntryState::new(mode, rip) };
    Ok(BootPlan { placements, entry, kernel, initrd })
}

/// Where it prefers to be if there is room, else the lowest place that suits, below 4 GiB (what the page
/// tables map).
fn place_kernel(request: &BootRequest<'_, BzImage>) -> Result<Range<u64>, BootError> {
    let BzImage { preferred_gpa, memory_bytes: bytes, relocatable, alignment, .. } = *request.kernel;
    let none = BootError::KernelMemory { bytes };
    let gpa = if is_ram(request.memory, preferred_gpa, bytes) {
        preferred_gpa
    } else if relocatable {
        lowest_fit(request.memory, spec::HIGH_ADDRESS, bytes, alignment).ok_or(none)?
    } else {
        return Err(none);
    };
    let end = gpa.checked_add(bytes).ok_or(none)?;
    // The first page tables map 4 GiB, and the header has 32 bits for the address.
    if end <= 1 << 32 { Ok(gpa..end) } else { Err(none) }
}

/// As high as the kernel can reach it, where it is out of the way of what the kernel unpacks.
fn place_initrd(request: &BootRequest<'_, BzImage>, kernel: &Range<u64>) -> Result<Range<u64>, BootError> {
    let bytes = request.initrd_bytes;
    if bytes == 0 {
        return Ok(0..0);
    }
    let none = BootError::InitrdMemory { bytes };
    let anywhere = request.kernel.xloadflags & spec::XLF_CAN_BE_LOADED_ABOVE_4G != 0;
    // The header names the last byte; the search wants the end.
    let low = request.kernel.initrd_last_gpa.saturating_add(1);
    let find = |ceiling| highest_fit(request.memory, ceiling, bytes, kernel);
    // Below 4 GiB first, where every kernel finds it.
    let gpa = find(low).or_else(|| if anywhere { find(u64::MAX) } else { None }).ok_or(none)?;
    Ok(gpa..gpa + bytes)
}

/// The zero page: the kernel's own header, and what the loader has to tell.
fn boot_params(request: &BootRequest<'_, BzImage>, load_gpa: u64, initrd: &Range<u64>) -> Vec<u8> {
    let kernel = request.kernel;
    let mut page = vec![0; z::BYTES];
    let mut put = |offset: usize, bytes: &[u8]| {
        for (slot, byte) in page.iter_mut().skip(offset).zip(bytes) {
            *slot = *byte;
        }
    };
    put(0, &kernel.raw);
    // The heap is for the kernel's 16-bit code, which does not run.
    let loadflags = field::<1>(&kernel.raw, h::LOADFLAGS) as u8 & !spec::CAN_USE_HEAP;
    let initrd_bytes = initrd.end - initrd.start;
    // Linux takes no initrd from a loader that does not say who it is.
    put(h::TYPE_OF_LOADER, &[spec::LOADER_UNDEFINED]);
    put(h::LOADFLAGS, &[loadflags]);
    put(h::CODE32_START, &(load_gpa as u32).to_le_bytes());
    put(h::CMD_LINE_PTR, &(layout::COMMAND_LINE as u32).to_le_bytes());
    put(h::RAMDISK_IMAGE, &(initrd.start as u32).to_le_bytes());
    put(h::RAMDISK_SIZE, &(initrd_bytes as u32).to_le_bytes());
    // The upper halves have places of their own, for kernels that can use them.
    put(z::EXT_RAMDISK_IMAGE, &((initrd.start >> 32) as u32).to_le_bytes());
    put(z::EXT_RAMDISK_SIZE, &((initrd_bytes >> 32) as u32).to_le_bytes());
    put(z::ACPI_RSDP_ADDR, &request.rsdp_gpa.to_le_bytes());
    put(z::E820_ENTRIES, &[request.memory.len() as u8]);
    for (i, range) in request.memory.iter().enumerate() {
        let at = z::E820_TABLE + i * 20;
        put(at, &range.gpa.to_le_bytes());
        put(at + 8, &range.bytes.to_le_bytes());
        put(at + 16, &(range.kind as u32).to_le_bytes());
    }
    page
}

#[cfg(test)]
mod tests;
