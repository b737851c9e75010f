//! Taking the kernel's ELF file apart: a static, non-relocatable x86-64 program linked in the top 2 GiB.

use object::elf::{self, FileHeader64, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, U64};

use crate::page_table::Permission;
use crate::{PAGE_BYTES, whole_pages};

/// Where a kernel is linked: what `-mcmodel=kernel` reaches.
pub const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;

/// One loadable segment, extended to whole pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Virtual address, page-aligned.
    pub address: u64,
    /// Whole pages.
    pub bytes: u64,
    /// What may be done with it.
    pub access: Permission,
    /// What it begins with; zeros follow.
    pub data: Vec<u8>,
}

/// A kernel, ready to be laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Virtual address of the first instruction.
    pub entry: u64,
    /// In ascending order, no two sharing a page.
    pub segments: Vec<Segment>,
}

/// What is wrong with the kernel's file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// Not a readable ELF64 file.
    #[error("not a readable ELF64 file: {0}")]
    Elf(String),
    /// For another machine.
    #[error("not for x86-64 (ELF machine {0})")]
    Machine(u16),
    /// Not a program that is loaded where it is linked.
    #[error("not a static program (ELF type {0}): link it without -pie")]
    Type(u16),
    /// It wants a dynamic linker.
    #[error("it needs a dynamic linker: link it statically")]
    Dynamic,
    /// No segments.
    #[error("it has no loadable segments")]
    Empty,
    /// A segment can be both written and executed.
    #[error("the segment at {0:#x} is both writable and executable")]
    WriteExecute(u64),
    /// A segment is not in the top 2 GiB.
    #[error("the segment at {0:#x} is not in the top 2 GiB (from {KERNEL_BASE:#x} on)")]
    Place(u64),
    /// Two segments share a page.
    #[error("the segments at {0:#x} and {1:#x} share a page: align them to 4096 in the linker script")]
    Shared(u64, u64),
    /// The entry point is not in an executable segment.
    #[error("the entry point {0:#x} is not in an executable segment")]
    Entry(u64),
}

impl From<object::read::Error> for KernelError {
    fn from(error: object::read::Error) -> Self {
        Self::Elf(error.to_string())
    }
}

/// Reads a kernel.
///
/// # Errors
/// [`KernelError`].
pub fn parse(file: &[u8]) -> Result<Kernel, KernelError> {
    let header = FileHeader64::<LittleEndian>::parse(file)?;
    let endian = header.endian()?;
    if header.e_machine(endian) != elf::EM_X86_64 {
        return Err(KernelError::Machine(header.e_machine(endian).0));
    }
    if header.e_type(endian) != elf::ET_EXEC {
        return Err(KernelError::Type(header.e_type(endian).0));
    }
    let headers = header.program_headers(endian, file)?;
    // Nobody would apply the relocations: the first code to run is the kernel's own.
    if headers.iter().any(|header| matches!(header.p_type(endian), elf::PT_INTERP | elf::PT_DYNAMIC)) {
        return Err(KernelError::Dynamic);
    }
    let loadable = headers.iter().filter(|header| header.p_type(endian) == elf::PT_LOAD);
    let mut segments = loadable
        // Linkers leave empty segments; they would share a page with a neighbour.
        .filter(|header| header.p_memsz(endian) != 0)
        .map(|header| segment(header, endian, file))
        .collect::<Result<Vec<_>, _>>()?;
    // Files may list them in any order; then an overlap is one of neighbours.
    segments.sort_by_key(|segment| segment.address);
    check(header.e_entry.get(endian), segments)
}

fn check(entry: u64, segments: Vec<Segment>) -> Result<Kernel, KernelError> {
    if segments.is_empty() {
        return Err(KernelError::Empty);
    }
    for pair in segments.windows(2) {
        // Permissions are a page's: of two segments in one, one would get the other's.
        if let [low, high] = pair
            && high.address - low.address < low.bytes
        {
            return Err(KernelError::Shared(low.address, high.address));
        }
    }
    let executable = segments.iter().any(|segment| {
        segment.access == Permission::Execute
            && entry.checked_sub(segment.address).is_some_and(|at| at < segment.bytes)
    });
    if executable { Ok(Kernel { entry, segments }) } else { Err(KernelError::Entry(entry)) }
}

fn segment(
    header: &ProgramHeader64<LittleEndian>,
    endian: LittleEndian,
    file: &[u8],
) -> Result<Segment, KernelError> {
    let get = |field: U64<LittleEndian>| field.get(endian);
    let start = get(header.p_vaddr);
    let has = |flag: elf::ProgramFlags| header.p_flags(endian).0 & flag.0 != 0;
    let access = match (has(elf::PF_W), has(elf::PF_X)) {
        (true, true) => return Err(KernelError::WriteExecute(start)),
        (true, false) => Permission::Write,
        (false, true) => Permission::Execute,
        (false, false) => Permission::Read,
    };
    let contents = header.data(endian, file).map_err(|()| {
        KernelError::Elf(format!("the contents of the segment at {start:#x} are not in the file"))
    })?;
    // Page tables map whole pages.
    let address = start - start % PAGE_BYTES;
    let end = start.checked_add(get(header.p_memsz)).and_then(whole_pages);
    let bytes = end
        .map(|end| end - address)
        // Lower, it would lie where processes or the kernel's own areas do; with more contents than memory it
        // would reach into what is mapped behind it.
        .filter(|_| address >= KERNEL_BASE && get(header.p_filesz) <= get(header.p_memsz));
    // The page's beginning, before the segment, is not the file's to fill.
    let mut data = vec![0; (start - address) as usize];
    data.extend_from_slice(contents);
    Ok(Segment { address, bytes: bytes.ok_or(KernelError::Place(start))?, access, data })
}

#[cfg(test)]
pub(crate) mod tests;
