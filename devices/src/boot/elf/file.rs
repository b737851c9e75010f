//! What an ELF file says: segments, the entry, and the note by which PVH finds its own.

use alloc::vec;
use alloc::vec::Vec;

use object::Endianness;
use object::elf::{EM_386, EM_X86_64, ET_EXEC, FileHeader32, FileHeader64, NoteType, PT_LOAD, PT_NOTE};
use object::read::elf::{FileHeader, NoteIterator, ProgramHeader};

use super::{ElfError, LoadSegment, ReadFile};

/// XEN_ELFNOTE_PHYS32_ENTRY, of the notes whose name is "Xen".
const PHYS32_ENTRY: NoteType = NoteType(18);
/// The most of a note segment that is read.
const NOTES_MAX: u64 = 1 << 16;

/// An ELF file.
pub struct Elf {
    /// What is to be loaded, by rising address.
    pub segments: Vec<LoadSegment>,
    /// The entry's physical address.
    pub entry: Result<u32, ElfError>,
    /// The entry of PVH, if the file has its note.
    pub pvh_entry: Option<u32>,
}

/// Whether a file begins as ELF files do.
pub fn is_elf(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF")
}

/// Of 32 or of 64 bits.
pub fn parse(head: &[u8], file_bytes: u64, read: ReadFile<'_>) -> Result<Elf, ElfError> {
    const CLASS_64: u8 = 2;
    if head.get(4) == Some(&CLASS_64) {
        parse_as::<FileHeader64<Endianness>>(head, file_bytes, read)
    } else {
        parse_as::<FileHeader32<Endianness>>(head, file_bytes, read)
    }
}

fn parse_as<E: FileHeader<Endian = Endianness>>(
    head: &[u8],
    file_bytes: u64,
    read: ReadFile<'_>,
) -> Result<Elf, ElfError> {
    let header = E::parse(head).map_err(|_| ElfError::Header)?;
    let endian = header.endian().map_err(|_| ElfError::Header)?;
    let machine = header.e_machine(endian);
    let is_x86 = machine == EM_386 || machine == EM_X86_64;
    if endian != Endianness::Little || header.e_type(endian) != ET_EXEC || !is_x86 {
        return Err(ElfError::Header);
    }
    let entry: u64 = header.e_entry(endian).into();
    let mut elf = Elf {
        segments: Vec::new(),
        entry: u32::try_from(entry).map_err(|_| ElfError::Entry),
        pvh_entry: None,
    };
    for part in header.program_headers(endian, head).map_err(|_| ElfError::Header)? {
        let (offset, in_file): (u64, u64) = (part.p_offset(endian).into(), part.p_filesz(endian).into());
        let file =
            offset..offset.checked_add(in_file).filter(|end| *end <= file_bytes).ok_or(ElfError::Segments)?;
        let (bytes, linear): (u64, u64) = (part.p_memsz(endian).into(), part.p_vaddr(endian).into());
        match part.p_type(endian) {
            PT_LOAD if bytes > 0 => {
                let gpa: u64 = part.p_paddr(endian).into();
                if in_file > bytes || gpa.checked_add(bytes).is_none() {
                    return Err(ElfError::Segments);
                }
                // A kernel that is linked for high addresses names its entry by one of these.
                if let Some(within) = entry.checked_sub(linear).filter(|within| *within < bytes) {
                    elf.entry = u32::try_from(gpa + within).map_err(|_| ElfError::Entry);
                }
                elf.segments.push(LoadSegment { gpa, file, bytes });
            }
            PT_NOTE => {
                let mut notes = vec![0; in_file.min(NOTES_MAX) as usize];
                if read(offset, &mut notes) {
                    elf.pvh_entry = elf.pvh_entry.or(pvh_entry::<E>(&notes, endian, part.p_align(endian))?);
                }
            }
            _ => {}
        }
    }
    elf.segments.sort_unstable_by_key(|segment| segment.gpa);
    let overlap = |pair: &[LoadSegment]| matches!(pair, [a, b] if a.gpa + a.bytes > b.gpa);
    if elf.segments.is_empty() || elf.segments.windows(2).any(overlap) {
        return Err(ElfError::Segments);
    }
    Ok(elf)
}

/// The address in the note, which has 4 or 8 bytes.
fn pvh_entry<E: FileHeader<Endian = Endianness>>(
    notes: &[u8],
    endian: Endianness,
    align: E::Word,
) -> Result<Option<u32>, ElfError> {
    let Ok(mut notes) = NoteIterator::<E>::new(endian, align, notes) else { return Ok(None) };
    // Notes behind a damaged one are not found: the file then has no such note.
    while let Ok(Some(note)) = notes.next() {
        if note.name() == b"Xen" && note.n_type(endian) == PHYS32_ENTRY {
            let mut address = [0; 8];
            for (to, from) in address.iter_mut().zip(note.desc()) {
                *to = *from;
            }
            return u32::try_from(u64::from_le_bytes(address)).map(Some).map_err(|_| ElfError::Entry);
        }
    }
    Ok(None)
}
