//! Booting a kernel without firmware: from a kernel file, a RAM disk, a command line and a memory map to a
//! list of what to put where ([`Placement`]) and the first CPU's registers ([`EntryState`]).
//!
//! Nothing is copied here but small tables: kernel and RAM disk are named by range, so that the VMM copies
//! each once, or not at all where it already lies right. The kernel file is hostile: every field is checked,
//! and every placement is within RAM that the memory map gives to the guest ([`BootError`]).

mod bios_data;
pub mod elf;
mod entry;
pub mod linux;
mod memory_map;

use alloc::vec::Vec;
use core::ops::Range;

pub use entry::{EntryMode, EntryState, Segment};
pub use memory_map::{MemoryKind, MemoryRange, pc_memory_map};
use memory_map::{RANGES_MAX, is_ram};

/// Where the small things go, all below the first 640 KiB.
mod layout {
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

/// What the guest is to be started with. `K` is what is known of the kernel: [`linux::BzImage`] or
/// [`elf::ElfKernel`].
#[derive(Debug)]
pub struct BootRequest<'a, K> {
    /// The kernel.
    pub kernel: &'a K,
    /// Size of the RAM disk, which an ELF kernel finds as its only module; 0 for none.
    pub initrd_bytes: u64,
    /// The command line, without a final zero.
    pub command_line: &'a [u8],
    /// The guest's memory.
    pub memory: &'a [MemoryRange],
    /// Where the RSDP is; 0 if there is none.
    pub rsdp_gpa: u64,
}

impl<K> BootRequest<'_, K> {
    /// Refuses what no kernel can be started with: a memory map or a command line that is too long, or no
    /// RAM for the tables of [`layout`].
    fn check(&self, command_line_max: usize) -> Result<(), BootError> {
        if self.memory.len() > RANGES_MAX {
            return Err(BootError::MemoryMap);
        }
        if !is_ram(self.memory, layout::START, layout::END - layout::START) {
            return Err(BootError::LowMemory);
        }
        if self.command_line.len() > command_line_max {
            return Err(BootError::CommandLine { limit: command_line_max });
        }
        Ok(())
    }
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
            Self::MemoryMap => write!(f, "the memory map has more than {} ranges", RANGES_MAX),
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

fn bytes_at(gpa: u64, bytes: Vec<u8>) -> Placement {
    Placement { gpa, source: Source::Bytes(bytes) }
}

/// A command line as kernels read it: up to a zero.
fn with_zero(text: &[u8]) -> Vec<u8> {
    [text, b"\0"].concat()
}
