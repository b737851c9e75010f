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

/// A program, of which a part has been loaded.
pub struct Program<'a> {
    file: &'a [u8],
    /// Which of its program headers is being loaded.
    segment: usize,
    /// How much of that is there, and how much of its contents.
    mapped: u64,
    copied: u64,
}

fn bad<E>(_: E) -> Status {
    Status::BadArgument
}

impl<'a> Program<'a> {
    /// The program in a file, of which nothing is loaded yet.
    pub fn new(file: &'a [u8]) -> Result<Self, Status> {
        let program = Self { file, segment: 0, mapped: 0, copied: 0 };
        let (header, endian) = program.header()?;
        if header.e_type(endian) != ET_EXEC || header.e_machine(endian) != EM_X86_64 {
            return Err(Status::BadArgument);
        }
        Ok(program)
    }

    fn header(&self) -> Result<(&'a FileHeader64<LittleEndian>, LittleEndian), Status> {
        let header = FileHeader64::<LittleEndian>::parse(self.file).map_err(bad)?;
        // The type of the header reads all as little-endian: a file that says otherwise of itself is refused
        // here.
        Ok((header, header.endian().map_err(bad)?))
    }

    /// Where it begins.
    pub fn entry(&self) -> Result<u64, Status> {
        let (header, endian) = self.header()?;
        let entry = header.e_entry(endian);
        // A thread begins by IRETQ, which would fault with the kernel's privilege at an address that is not
        // canonical.
        if (USER_START..USER_END).contains(&entry) { Ok(entry) } else { Err(Status::BadArgument) }
    }

    /// Loads as much as is done in one go. Returns whether there is more.
    pub fn load_some(&mut self, space: &Space) -> Result<bool, Status> {
        let (header, endian) = self.header()?;
        let segments = header.program_headers(endian, self.file).map_err(bad)?;
        let Some(header) = segments.iter().take(SEGMENTS_MAX).nth(self.segment) else { return Ok(false) };
        // An empty segment has no page, and a range without any would be refused.
        if header.p_type(endian) != PT_LOAD || header.p_memsz(endian) == 0 {
            self.segment += 1;
            return Ok(true);
        }
        let segment = Segment::try_new(self.file, header)?;
        if self.mapped < segment.bytes {
            let (first_page, bytes) = (segment.first_page, segment.bytes);
            self.mapped += space.allocate_some(first_page, bytes, self.mapped, segment.protection)?;
        } else if let Some(rest) = segment.contents.get(self.copied as usize..).filter(|r| !r.is_empty()) {
            self.copied += copy_some(space, segment.address + self.copied, rest)?;
        } else {
            *self = Self { file: self.file, segment: self.segment + 1, mapped: 0, copied: 0 };
        }
        Ok(true)
    }
}

/// Loads a file and returns its entry point.
pub fn load(space: &Space, file: &[u8]) -> Result<u64, Status> {
    let mut program = Program::new(file)?;
    while program.load_some(space)? {}
    program.entry()
}

fn protection(flags: ProgramFlags) -> Result<Protection, Status> {
    match (flags.contains(PF_W), flags.contains(PF_X)) {
        (false, false) => Ok(Protection::Read),
        (true, false) => Ok(Protection::ReadWrite),
        (false, true) => Ok(Protection::ReadExecute),
        (true, true) => Err(Status::BadArgument),
    }
}

/// What of a segment matters: checked, but for where it may be mapped.
struct Segment<'a> {
    address: u64,
    contents: &'a [u8],
    first_page: u64,
    bytes: u64,
    protection: Protection,
}

impl<'a> Segment<'a> {
    fn try_new(file: &'a [u8], header: &ProgramHeader64<LittleEndian>) -> Result<Self, Status> {
        let endian = endian::LittleEndian;
        let contents = header.data(endian, file).map_err(bad)?;
        let (address, size) = (header.p_vaddr(endian), header.p_memsz(endian));
        let end = address.checked_add(size).ok_or(Status::BadArgument)?;
        // What is more would be copied behind the segment, over what lies there.
        if contents.len() as u64 > size {
            return Err(Status::BadArgument);
        }
        let first_page = address & !(PAGE - 1);
        let bytes = end.checked_next_multiple_of(PAGE).ok_or(Status::BadArgument)? - first_page;
        let protection = protection(header.p_flags(endian))?;
        Ok(Self { address, contents, first_page, bytes, protection })
    }
}

/// Copies bytes into an address space that does not run yet.
pub fn copy(space: &Space, mut address: u64, mut bytes: &[u8]) -> Result<(), Status> {
    while !bytes.is_empty() {
        let done = copy_some(space, address, bytes)?;
        address += done;
        bytes = bytes.get(done as usize..).unwrap_or(&[]);
    }
    Ok(())
}

/// The same up to the end of a page. Returns how much that was.
fn copy_some(space: &Space, address: u64, bytes: &[u8]) -> Result<u64, Status> {
    let offset = (address % PAGE) as usize;
    let (now, _) = bytes.split_at(bytes.len().min(PAGE as usize - offset));
    // By the frame: the space is not the one that is loaded, and a page of code is writable for nobody.
    temporary::copy_in(space.lookup(address)?, offset, now);
    Ok(now.len() as u64)
}

#[cfg(test)]
pub mod tests;
