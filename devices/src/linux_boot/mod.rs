//! Booting a Linux bzImage without firmware: from a kernel file, a RAM disk, a command line and a memory map
//! to a list of what to put where ([`Placement`]) and the first CPU's registers ([`EntryState`]).
//!
//! Nothing is copied here but small tables: kernel and RAM disk are named by range, so that the VMM copies
//! each once, or not at all where it already lies right. The kernel file is hostile: every field is checked
//! ([`ImageError`]) and every placement is within RAM that the memory map gives to the guest.

mod entry;
mod header;
pub(crate) mod memory_map;
pub mod spec;

use alloc::{vec, vec::Vec};
use core::ops::Range;
pub(crate) use entry::gdt;
pub use entry::{EntryMode, EntryState, Segment};
use header::field;
pub use header::{BzImage, ImageError};
pub use memory_map::{MemoryKind, MemoryRange, pc_memory_map};
use spec::{header as h, zero_page as z};

/// Where the small things go, all below the first 640 KiB.
pub(crate) mod layout {
    pub const STACK_TOP: u64 = 0x1_0000;
    pub const BOOT_PARAMS: u64 = 0x1_0000;
    pub const GDT: u64 = 0x1_1000;
    /// Six pages.
    pub const PAGE_TABLES: u64 = 0x1_2000;
    pub const COMMAND_LINE: u64 = 0x2_0000;
    pub const COMMAND_LINE_BYTES: u64 = 0x1_0000;
    /// Room for what other protocols than Linux' tell a kernel.
    pub const INFORMATION_BYTES: u64 = 0x1000;
    /// First and last of it all.
    pub const START: u64 = 0xf000;
    pub const END: u64 = COMMAND_LINE + COMMAND_LINE_BYTES;
}

/// What is to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// These bytes.
    Bytes(Vec<u8>),
    /// This range of the kernel file.
    Kernel(Range<u64>),
    /// All of the RAM disk.
    Initrd,
    /// So many bytes of zero.
    Zeroes(u64),
}

/// Something to be copied into guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Where to.
    pub gpa: u64,
    /// From where.
    pub source: Source,
}

/// What the guest is to be started with.
#[derive(Clone, Copy, Debug)]
pub struct BootRequest<'a> {
    /// The kernel.
    pub kernel: &'a BzImage,
    /// Size of the RAM disk; 0 for none.
    pub initrd_bytes: u64,
    /// The command line, without a final zero.
    pub command_line: &'a [u8],
    /// The guest's memory.
    pub memory: &'a [MemoryRange],
    /// Where the RSDP is; 0 if there is none.
    pub rsdp_gpa: u64,
}

/// Why a kernel that is right cannot be started here. To blame: the memory's size, or who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// The memory map has too many ranges.
    MemoryMap,
    /// RAM from F000h to 30000h is missing.
    LowMemory,
    /// No RAM where the kernel can be loaded.
    KernelMemory {
        /// How much it needs.
        bytes: u64,
    },
    /// No RAM for the RAM disk.
    InitrdMemory {
        /// How much it needs.
        bytes: u64,
    },
    /// The command line is longer than the kernel takes.
    CommandLine {
        /// The longest it takes.
        limit: usize,
    },
}

impl core::fmt::Display for BootError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::MemoryMap => write!(f, "the memory map has more than {} ranges", z::E820_MAX),
            Self::LowMemory => write!(f, "the guest has no RAM below 640 KiB"),
            Self::KernelMemory { bytes } => write!(f, "no {} KiB of guest RAM for the kernel", bytes >> 10),
            Self::InitrdMemory { bytes } => write!(f, "no {} KiB of guest RAM for the RAM disk", bytes >> 10),
            Self::CommandLine { limit } => {
                write!(f, "the kernel takes a command line of {limit} bytes at most")
            }
        }
    }
}

impl core::error::Error for BootError {}

/// How to start a kernel.
#[derive(Clone, Debug)]
pub struct BootPlan {
    /// What to copy where. The placements do not overlap.
    pub placements: Vec<Placement>,
    /// The first CPU's state.
    pub entry: EntryState,
    /// Where the kernel is loaded, and the memory from there on that it needs.
    pub kernel: Range<u64>,
    /// Where the RAM disk is; empty if there is none.
    pub initrd: Range<u64>,
}

impl BootPlan {
    /// Plans it.
    pub fn new(request: &BootRequest<'_>) -> Result<Self, BootError> {
        if request.memory.len() > z::E820_MAX {
            return Err(BootError::MemoryMap);
        }
        if !memory_map::is_ram(request.memory, layout::START, layout::END - layout::START) {
            return Err(BootError::LowMemory);
        }
        // What can be refused is refused before anything is placed.
        check_command_line(request)?;
        let kernel = place_kernel(request)?;
        let initrd = place_initrd(request, &kernel)?;
        let mode = if request.kernel.has_64_bit_entry() { EntryMode::Long64 } else { EntryMode::Protected32 };
        let bytes = |gpa, bytes| Placement { gpa, source: Source::Bytes(bytes) };
        let mut command_line = request.command_line.to_vec();
        // The kernel reads up to a zero.
        command_line.push(0);
        let mut placements = vec![
            bytes(layout::BOOT_PARAMS, boot_params(request, kernel.start, &initrd)),
            bytes(layout::COMMAND_LINE, command_line),
            bytes(layout::GDT, entry::gdt(mode)),
            Placement { gpa: kernel.start, source: Source::Kernel(request.kernel.payload.clone()) },
        ];
        if mode == EntryMode::Long64 {
            placements.push(bytes(layout::PAGE_TABLES, entry::page_tables()));
        }
        if !initrd.is_empty() {
            placements.push(Placement { gpa: initrd.start, source: Source::Initrd });
        }
        Ok(Self { placements, entry: EntryState::new(mode, kernel.start), kernel, initrd })
    }
}

fn check_command_line(request: &BootRequest<'_>) -> Result<(), BootError> {
    // One byte is for the zero at the end.
    let limit = request.kernel.command_line_max.min(layout::COMMAND_LINE_BYTES as usize - 1);
    if request.command_line.len() > limit { Err(BootError::CommandLine { limit }) } else { Ok(()) }
}

/// Where it prefers to be if there is room, else the lowest place that suits, below 4 GiB (what the page
/// tables map).
fn place_kernel(request: &BootRequest<'_>) -> Result<Range<u64>, BootError> {
    let BzImage { preferred_gpa, memory_bytes: bytes, relocatable, alignment, .. } = *request.kernel;
    let none = BootError::KernelMemory { bytes };
    let gpa = if memory_map::is_ram(request.memory, preferred_gpa, bytes) {
        preferred_gpa
    } else if relocatable {
        memory_map::lowest_fit(request.memory, spec::HIGH_ADDRESS, bytes, alignment).ok_or(none)?
    } else {
        return Err(none);
    };
    let end = gpa.checked_add(bytes).ok_or(none)?;
    // The first page tables map 4 GiB, and the header has 32 bits for the address.
    if end <= 1 << 32 { Ok(gpa..end) } else { Err(none) }
}

/// As high as the kernel can reach it, where it is out of the way of what the kernel unpacks.
fn place_initrd(request: &BootRequest<'_>, kernel: &Range<u64>) -> Result<Range<u64>, BootError> {
    let bytes = request.initrd_bytes;
    if bytes == 0 {
        return Ok(0..0);
    }
    let none = BootError::InitrdMemory { bytes };
    let anywhere = request.kernel.xloadflags & spec::XLF_CAN_BE_LOADED_ABOVE_4G != 0;
    // The header names the last byte; the search wants the end.
    let low = request.kernel.initrd_last_gpa.saturating_add(1);
    let find = |ceiling| memory_map::highest_fit(request.memory, ceiling, bytes, kernel);
    // Below 4 GiB first, where every kernel finds it.
    let gpa = find(low).or_else(|| if anywhere { find(u64::MAX) } else { None }).ok_or(none)?;
    Ok(gpa..gpa + bytes)
}

/// The zero page: the kernel's own header, and what the loader has to tell.
fn boot_params(request: &BootRequest<'_>, load_gpa: u64, initrd: &Range<u64>) -> Vec<u8> {
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
