//! Loads an ELF file into an address space: static x86-64 executables, W^X. The file is hostile as far as the
//! kernel cares.

use object::elf::{EM_X86_64, ET_EXEC, FileHeader64, PF_W, PF_X, PT_LOAD, ProgramFlags, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, endian};
use vcpu_abi::status::Status;

use crate::layout::{PAGE, USER_END, USER_START};
use crate::memory::space::{Protection, Space};
use crate::memory::temporary;

/// The most program headers that are looked at.
pub const SEGMENTS_MAX: usize = 16;

/// Loads a file and returns its entry point.
pub fn load(space: &Space, file: &[u8]) -> Result<u64, Status> {
    let bad = |_| Status::BadArgument;
    let header = FileHeader64::<LittleEndian>::parse(file).map_err(bad)?;
    let endian = header.endian().map_err(bad)?;
    if header.e_type(endian) != ET_EXEC || header.e_machine(endian) != EM_X86_64 {
        return Err(Status::BadArgument);
    }
    for segment in header.program_headers(endian, file).map_err(bad)?.iter().take(SEGMENTS_MAX) {
        if segment.p_type(endian) == PT_LOAD && segment.p_memsz(endian) > 0 {
            load_segment(space, file, segment)?;
        }
    }
    let entry = header.e_entry(endian);
    if (USER_START..USER_END).contains(&entry) { Ok(entry) } else { Err(Status::BadArgument) }
}

fn protection(flags: ProgramFlags) -> Result<Protection, Status> {
    match (flags.contains(PF_W), flags.contains(PF_X)) {
        (false, false) => Ok(Protection::Read),
        (true, false) => Ok(Protection::ReadWrite),
        (false, true) => Ok(Protection::ReadExecute),
        (true, true) => Err(Status::BadArgument),
    }
}

fn load_segment(space: &Space, file: &[u8], segment: &ProgramHeader64<LittleEndian>) -> Result<(), Status> {
    let endian = endian::LittleEndian;
    let contents = segment.data(endian, file).map_err(|()| Status::BadArgument)?;
    let (address, size) = (segment.p_vaddr(endian), segment.p_memsz(endian));
    let end = address.checked_add(size).ok_or(Status::BadArgument)?;
    if contents.len() as u64 > size {
        return Err(Status::BadArgument);
    }
    let first_page = address & !(PAGE - 1);
    let bytes = end.checked_next_multiple_of(PAGE).ok_or(Status::BadArgument)? - first_page;
    space.allocate(first_page, bytes, protection(segment.p_flags(endian))?)?;
    copy(space, address, contents)
}

/// Copies bytes into an address space that does not run yet.
pub fn copy(space: &Space, mut address: u64, mut bytes: &[u8]) -> Result<(), Status> {
    while !bytes.is_empty() {
        let offset = (address % PAGE) as usize;
        let (now, later) = bytes.split_at(bytes.len().min(PAGE as usize - offset));
        temporary::copy_in(space.lookup(address)?, offset, now);
        address += now.len() as u64;
        bytes = later;
    }
    Ok(())
}

#[cfg(test)]
pub mod tests;
