//! A program's file without what is never loaded: symbols, debug information, section headers. They are three
//! quarters of it, and the image is memory that Plinth keeps.

use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

/// Bytes of an ELF64 file's header: System V ABI, chapter 4, "ELF Header".
const HEADER_BYTES: u64 = 64;
/// Where it has `e_shoff`, and `e_shentsize`, `e_shnum` and `e_shstrndx` one behind the other.
const SECTION_OFFSET: std::ops::Range<usize> = 40..48;
const SECTION_COUNTS: std::ops::Range<usize> = 58..64;

/// Returns the file as the image has it: a static ELF64 program ends with its last segment's contents and
/// names no sections; anything else stays as it is.
pub fn without_unloaded(mut file: Vec<u8>) -> Vec<u8> {
    let Some(end) = loaded_end(&file) else { return file };
    file.truncate(end);
    // All of them are beyond the end now.
    for range in [SECTION_OFFSET, SECTION_COUNTS] {
        if let Some(field) = file.get_mut(range) {
            field.fill(0);
        }
    }
    file
}

/// Where the last byte that a loader reads ends; nothing if this is no static program, or one that names what
/// the file does not have: its reader has to see that.
fn loaded_end(file: &[u8]) -> Option<usize> {
    let header = FileHeader64::<Endianness>::parse(file).ok()?;
    let endian = header.endian().ok()?;
    if header.e_type(endian) != elf::ET_EXEC {
        return None;
    }
    let segments = header.program_headers(endian, file).ok()?;
    if segments.is_empty() || segments.iter().any(|segment| segment.data(endian, file).is_err()) {
        return None;
    }
    // Linkers may put the table behind the contents.
    let table = header.e_phoff(endian) + size_of_val(segments) as u64;
    // No sum is too large: each segment's contents were found in the file, just above.
    let contents = segments.iter().map(|segment| segment.p_offset(endian) + segment.p_filesz(endian));
    let end = contents.chain([table, HEADER_BYTES]).max()?;
    usize::try_from(end).ok()
}

#[cfg(test)]
mod tests;
