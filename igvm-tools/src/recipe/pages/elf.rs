//! A program at its physical addresses.

use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

/// The most bytes that a program may take: what it says of itself is not believed beyond that.
const MAX_BYTES: u64 = 1 << 30;

/// A part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// First byte.
    pub gpa: u64,
    /// Contents.
    pub data: Vec<u8>,
    /// Length, of which the contents are the beginning.
    pub bytes: u64,
}

/// The parts of a static ELF64 program for x86-64, by physical address.
///
/// # Errors
/// A message.
pub(super) fn parts(file: &[u8]) -> Result<Vec<Part>, String> {
    let unreadable = |error: object::Error| format!("not a readable ELF64 program: {error}");
    let header = FileHeader64::<LittleEndian>::parse(file).map_err(unreadable)?;
    let endian = header.endian().map_err(unreadable)?;
    if header.e_type(endian) != elf::ET_EXEC || header.e_machine(endian) != elf::EM_X86_64 {
        return Err("not a static program for x86-64".to_owned());
    }
    let segments = header.program_headers(endian, file).map_err(unreadable)?;
    let mut parts = Vec::new();
    for segment in segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD) {
        let (gpa, bytes) = (segment.p_paddr(endian), segment.p_memsz(endian));
        let data = segment.data(endian, file).ok();
        let data = data.filter(|data| data.len() as u64 <= bytes && bytes <= MAX_BYTES);
        let data = data.ok_or_else(|| format!("the segment at {gpa:#x} is not in the file, or too large"))?;
        // Linkers leave empty segments.
        if bytes > 0 {
            parts.push(Part { gpa, data: data.to_vec(), bytes });
        }
    }
    if parts.is_empty() { Err("the program has nothing to load".to_owned()) } else { Ok(parts) }
}
