//! Booting an ELF kernel, by one of the protocols that such kernels know: PVH, multiboot 1
//! or multiboot 2. It is entered in 32-bit protected mode without paging.

mod file;
mod multiboot;
mod multiboot2;
mod pvh;

use alloc::{vec, vec::Vec};
use core::fmt;
use core::ops::Range;

use super::entry::gdt;
use super::memory_map::{highest_fit, is_ram};
use super::{BootError, BootPlan, BootRequest, EntryMode, EntryState, MemoryRange, Placement, Source};
use super::{bios_data, bytes_at, layout, with_zero};

pub use multiboot2::HEADER_BYTES;

/// What of a kernel file goes where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadSegment {
    /// Where to.
    pub gpa: u64,
    /// What of the file.
    pub file: Range<u64>,
    /// Bytes in memory: what is more than there is in the file is zero.
    pub bytes: u64,
}

/// How a kernel wants to be told what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Xen's PVH, of an ELF note (Xen, `docs/misc/pvh.pandoc`).
    Pvh,
    /// Multiboot 0.6.96.
    Multiboot,
    /// Multiboot 2.0.
    Multiboot2,
}

/// A kernel that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElfKernel {
    /// How.
    pub protocol: Protocol,
    /// The first instruction's physical address.
    pub entry: u32,
    /// What it consists of, by rising address, without overlaps; at least one.
    pub segments: Vec<LoadSegment>,
}

/// Why a file is no kernel that can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElfError {
    /// Neither a bzImage nor an ELF file nor one with a multiboot header.
    Unknown,
    /// No little-endian ELF executable for x86, or its headers are not all at the file's beginning.
    Header,
    /// An ELF file with neither a PVH note nor a multiboot header.
    NoProtocol,
    /// A segment lies outside the file, or over another one; or there is none.
    Segments,
    /// The entry lies above 4 GiB.
    Entry,
    /// The multiboot header asks for something that is not known: these flags, or a tag of this type.
    Demand(u32),
    /// The multiboot header is damaged.
    Multiboot,
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => {
                write!(f, "the kernel is neither a bzImage, nor an ELF file, nor has it a multiboot header")
            }
            Self::Header => write!(f, "the kernel is not an ELF executable for x86 that can be read"),
            Self::NoProtocol => write!(f, "the ELF kernel has neither a PVH note nor a multiboot header"),
            Self::Segments => write!(f, "the kernel's segments are not in its file, or overlap"),
            Self::Entry => write!(f, "the kernel's entry lies above 4 GiB"),
            Self::Demand(what) => write!(f, "the multiboot header asks for what is not known: {what:#x}"),
            Self::Multiboot => write!(f, "the kernel's multiboot header is damaged"),
        }
    }
}

impl core::error::Error for ElfError {}

/// Reads bytes of the kernel file from an offset on; `false` if they are not there.
pub type ReadFile<'a> = &'a dyn Fn(u64, &mut [u8]) -> bool;

impl ElfKernel {
    /// Of a file of `file_bytes`, of which `head` is the beginning: [`HEADER_BYTES`] or all of it.
    ///
    /// # Errors
    /// When it is no kernel that can be started.
    pub fn parse(head: &[u8], file_bytes: u64, read: ReadFile<'_>) -> Result<Self, ElfError> {
        let elf = if file::is_elf(head) { Some(file::parse(head, file_bytes, read)?) } else { None };
        // PVH first: who has its note has it to be started by it, while a multiboot header may be one of
        // several ways.
        if let Some(file::Elf { pvh_entry: Some(entry), segments, .. }) = elf {
            return Ok(Self { protocol: Protocol::Pvh, entry, segments });
        }
        let header = match multiboot2::find(head)? {
            Some(header) => Some((Protocol::Multiboot2, header)),
            None => multiboot::find(head)?.map(|header| (Protocol::Multiboot, header)),
        };
        let Some((protocol, header)) = header else {
            return Err(if elf.is_some() { ElfError::NoProtocol } else { ElfError::Unknown });
        };
        match (header.load, elf) {
            // The header's own addresses come before those of ELF (multiboot 0.6.96, 3.1.3).
            (Some(load), elf) => {
                let entry =
                    header.entry.or(elf.map(|elf| elf.entry).transpose()?).ok_or(ElfError::Multiboot)?;
                Ok(Self { protocol, entry, segments: vec![load.segment(file_bytes)?] })
            }
            (None, Some(elf)) => {
                let entry = header.entry.map_or(elf.entry, Ok)?;
                Ok(Self { protocol, entry, segments: elf.segments })
            }
            (None, None) => Err(ElfError::Unknown),
        }
    }

    /// From the first to the last byte that it takes.
    fn range(&self) -> Range<u64> {
        let start = self.segments.first().map_or(0, |first| first.gpa);
        start..self.segments.last().map_or(start, |last| last.gpa.saturating_add(last.bytes))
    }
}

/// What a kernel is told, whichever the protocol.
struct Facts<'a> {
    command_line: &'a [u8],
    /// Where the RAM disk is; empty if there is none.
    module: Range<u64>,
    memory: &'a [MemoryRange],
    rsdp_gpa: u64,
}

/// What its registers say at the entry, and where they point to.
struct Information {
    eax: u32,
    /// Also where `bytes` are to be.
    ebx: u64,
    bytes: Vec<u8>,
}

/// The name of who loads the kernel, and of its module, where a protocol has a place for them.
const LOADER_NAME: &[u8] = b"Plinth\0";
const MODULE_NAME: &[u8] = b"initrd\0";

/// What a command line of multiboot 1 begins with: its kernels expect their file's name, as GRUB legacy and
/// QEMU give it, and test kernels take it for their own (`argv[0]`). GRUB 2 gives multiboot 2 no such name.
const KERNEL_NAME: &[u8] = b"kernel ";

/// Plans the start of a kernel.
///
/// # Errors
/// When memory does not suffice, or the command line is too long.
pub fn plan(request: &BootRequest<'_, ElfKernel>) -> Result<BootPlan, BootError> {
    // Multiboot 2 has tags around it, in the same place; multiboot 1 a name before it.
    request.check((layout::COMMAND_LINE_BYTES - layout::INFORMATION_BYTES) as usize - 1)?;
    let kernel = request.kernel.range();
    for LoadSegment { gpa, bytes, .. } in &request.kernel.segments {
        let end = gpa.saturating_add(*bytes);
        let is_low = *gpa < layout::END && layout::START < end;
        // It runs without paging: what lies above 4 GiB it could not reach.
        if is_low || end > 1 << 32 || !is_ram(request.memory, *gpa, *bytes) {
            return Err(BootError::KernelMemory { bytes: *bytes });
        }
    }
    let module = place_module(request, &kernel)?;
    let facts = Facts {
        command_line: request.command_line,
        module: module.clone(),
        memory: request.memory,
        rsdp_gpa: request.rsdp_gpa,
    };
    let information = match request.kernel.protocol {
        Protocol::Pvh => pvh::information(&facts),
        Protocol::Multiboot => multiboot::information(&facts),
        Protocol::Multiboot2 => multiboot2::information(&facts),
    };
    let entry = EntryState {
        rax: u64::from(information.eax),
        rbx: information.ebx,
        ..EntryState::new(EntryMode::Protected32, u64::from(request.kernel.entry))
    };
    Ok(BootPlan { placements: placements(request, &facts, information), entry, kernel, initrd: module })
}

fn placements(
    request: &BootRequest<'_, ElfKernel>,
    facts: &Facts<'_>,
    information: Information,
) -> Vec<Placement> {
    let mut placements = vec![
        bytes_at(information.ebx, information.bytes),
        bytes_at(layout::GDT, gdt(EntryMode::Protected32)),
    ];
    match request.kernel.protocol {
        // It is among the tags.
        Protocol::Multiboot2 => {}
        Protocol::Multiboot => {
            let line = [KERNEL_NAME, facts.command_line].concat();
            placements.push(bytes_at(layout::COMMAND_LINE, with_zero(&line)));
        }
        Protocol::Pvh => placements.push(bytes_at(layout::COMMAND_LINE, with_zero(facts.command_line))),
    }
    for segment in &request.kernel.segments {
        let in_file = segment.file.end - segment.file.start;
        let source = Source::Kernel(segment.file.clone());
        placements.push(Placement { gpa: segment.gpa, source });
        if segment.bytes > in_file {
            let (gpa, source) = (segment.gpa + in_file, Source::Zeroes(segment.bytes - in_file));
            placements.push(Placement { gpa, source });
        }
    }
    placements.extend(bios_data::placement(facts.memory, &request.kernel.range()));
    if !facts.module.is_empty() {
        placements.push(Placement { gpa: facts.module.start, source: Source::Initrd });
    }
    placements
}

/// As high as possible below 4 GiB, outside the kernel, in whole pages as multiboot may ask for.
fn place_module(request: &BootRequest<'_, ElfKernel>, kernel: &Range<u64>) -> Result<Range<u64>, BootError> {
    let bytes = request.initrd_bytes;
    if bytes == 0 {
        return Ok(0..0);
    }
    let gpa = highest_fit(request.memory, 1 << 32, bytes, kernel).ok_or(BootError::InitrdMemory { bytes })?;
    Ok(gpa..gpa + bytes)
}

#[cfg(test)]
mod tests;
