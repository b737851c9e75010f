//! OVMF images: where their parts go in guest memory, and what a host has to prepare for an SEV-SNP guest.
//!
//! The ROM ends at 4 GiB. In front of its last 32 bytes ends a table that is read backwards: a footer with a
//! GUID and the table's length, then entries, each of them data, a 16-bit length and a GUID. One entry leads
//! to the SEV metadata: a list of sections of guest memory that the host loads, each of a kind.
//!
//! Sources: edk2, `OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.nasm` and `X64/OvmfSevMetadata.nasm`. A file may
//! be anybody's: nothing in it is believed before it is held against the file's length and the other parts.

mod error;
pub mod sample;
mod table;

use zerocopy::byteorder::LittleEndian;
use zerocopy::{FromBytes, Immutable, KnownLayout, U32};

pub use error::OvmfError;
pub use table::{Guid, guid};

use crate::PAGE_BYTES;
use table::Table;

/// Where the ROM ends.
const ROM_END: u64 = 1 << 32;

/// The largest ROM: QEMU's limit for firmware at 4 GiB (`max-fw-size`).
const ROM_MAX: u64 = 16 << 20;

/// The most sections that the metadata may have; images have seven.
const SECTIONS_MAX: u32 = 64;

/// "ASEV", where the metadata begins.
const SIGNATURE: u32 = u32::from_le_bytes(*b"ASEV");

/// What the host does with a section, by its number in the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SectionKind {
    /// 1: memory that the firmware uses before it can validate any, and that holds nothing yet.
    Memory,
    /// 2: the secrets page.
    Secrets,
    /// 3: the CPUID page.
    Cpuid,
    /// 4: the calling area of an SVSM, empty.
    SvsmCallingArea,
    /// 10h: the page with the table of hashes of kernel, initrd and command line; empty if there are none.
    KernelHashes,
}

/// A section of guest memory, in whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// First byte.
    pub gpa: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// What it is.
    pub kind: SectionKind,
}

/// An image whose table and metadata are sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ovmf<'a> {
    rom: &'a [u8],
    ap_entry: u32,
    hash_table: Option<u64>,
    sections: Vec<Section>,
}

/// The header of the metadata.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct MetadataHeader {
    signature: U32<LittleEndian>,
    /// Of the header and all sections.
    bytes: U32<LittleEndian>,
    version: U32<LittleEndian>,
    sections: U32<LittleEndian>,
}

/// A section in the metadata.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct MetadataSection {
    gpa: U32<LittleEndian>,
    bytes: U32<LittleEndian>,
    kind: U32<LittleEndian>,
}

impl<'a> Ovmf<'a> {
    /// Reads a ROM image and checks all that can be checked without a machine.
    ///
    /// # Errors
    /// [`OvmfError`], the first thing that is wrong.
    pub fn parse(rom: &'a [u8]) -> Result<Self, OvmfError> {
        let bytes = rom.len() as u64;
        if bytes == 0 || bytes > ROM_MAX || !bytes.is_multiple_of(PAGE_BYTES) {
            return Err(OvmfError::RomSize(bytes));
        }
        let table = Table::read(rom)?;
        // Where processors other than the first start under SEV-ES, and so what their VMSAs say.
        let ap_entry = table.number(table::SEV_ES_RESET_BLOCK)?.ok_or(OvmfError::NoResetBlock)?;
        let metadata = table.number(table::SEV_METADATA)?.ok_or(OvmfError::NoMetadata)?;
        let sections = sections(rom, metadata)?;
        // The entry is there in images without hashes too, and zero.
        let hash_table = table.number(table::HASH_TABLE)?.map(u64::from).filter(|gpa| *gpa != 0);
        let ovmf = Self { rom, ap_entry, hash_table, sections };
        ovmf.check_places()?;
        Ok(ovmf)
    }

    /// The ROM's contents.
    pub fn rom(&self) -> &'a [u8] {
        self.rom
    }

    /// Where the ROM begins; it ends at 4 GiB.
    pub fn rom_gpa(&self) -> u64 {
        ROM_END - self.rom.len() as u64
    }

    /// Where processors other than the first begin, in real mode: CS has the upper half as its base.
    pub fn ap_entry(&self) -> u32 {
        self.ap_entry
    }

    /// The sections, in the order of the metadata, which is the one in which a host loads them.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Where the firmware looks for the table of hashes; `None` if it has no section for one.
    pub fn hash_table_gpa(&self) -> Option<u64> {
        let gpa = self.hash_table?;
        self.sections.iter().any(|section| section.kind == SectionKind::KernelHashes).then_some(gpa)
    }

    /// Sections do not overlap each other nor the ROM, there is one each of the pages that the AMD-SP fills,
    /// and the table of hashes is where it is loaded.
    fn check_places(&self) -> Result<(), OvmfError> {
        let mut places: Vec<_> = self.sections.iter().map(|section| (section.gpa, section.bytes)).collect();
        places.push((self.rom_gpa(), self.rom.len() as u64));
        places.sort_unstable();
        for pair in places.windows(2) {
            if let [(low, bytes), (high, _)] = pair
                && high - low < *bytes
            {
                return Err(OvmfError::Overlap(*high));
            }
        }
        for kind in [SectionKind::Secrets, SectionKind::Cpuid, SectionKind::KernelHashes] {
            let mut found = self.sections.iter().filter(|section| section.kind == kind);
            let (first, second) = (found.next(), found.next());
            if let Some(other) = second.or_else(|| first.filter(|first| first.bytes != PAGE_BYTES)) {
                return Err(OvmfError::OnePage { kind, gpa: other.gpa });
            }
            if let (SectionKind::KernelHashes, Some(page), Some(table)) = (kind, first, self.hash_table)
                && table.checked_sub(page.gpa).is_none_or(|offset| offset >= PAGE_BYTES)
            {
                return Err(OvmfError::HashTable(table));
            }
        }
        Ok(())
    }
}

/// The sections of the metadata that begin so many bytes before the ROM's end.
fn sections(rom: &[u8], from_end: u32) -> Result<Vec<Section>, OvmfError> {
    let range = OvmfError::MetadataRange(from_end);
    let start = rom.len().checked_sub(from_end as usize).ok_or(range)?;
    let metadata = rom.get(start..).ok_or(range)?;
    let (header, _) = MetadataHeader::read_from_prefix(metadata).map_err(|_| range)?;
    if header.signature.get() != SIGNATURE {
        return Err(OvmfError::Signature(header.signature.get()));
    }
    if header.version.get() != 1 {
        return Err(OvmfError::Version(header.version.get()));
    }
    let count = header.sections.get();
    if count > SECTIONS_MAX {
        return Err(OvmfError::TooManySections(count));
    }
    let wanted = size_of::<MetadataHeader>() + count as usize * size_of::<MetadataSection>();
    let list = metadata
        .get(..header.bytes.get() as usize)
        .and_then(|metadata| metadata.get(size_of::<MetadataHeader>()..wanted))
        .ok_or(range)?;
    list.chunks_exact(size_of::<MetadataSection>())
        .map(|bytes| MetadataSection::read_from_bytes(bytes).map_err(|_| range).and_then(section))
        .collect()
}

fn section(section: MetadataSection) -> Result<Section, OvmfError> {
    let kind = match section.kind.get() {
        1 => SectionKind::Memory,
        2 => SectionKind::Secrets,
        3 => SectionKind::Cpuid,
        4 => SectionKind::SvsmCallingArea,
        0x10 => SectionKind::KernelHashes,
        // What has to be prepared there is not known, and the firmware would find it missing.
        other => return Err(OvmfError::Kind(other)),
    };
    let (gpa, bytes) = (u64::from(section.gpa.get()), u64::from(section.bytes.get()));
    if !gpa.is_multiple_of(PAGE_BYTES) || !bytes.is_multiple_of(PAGE_BYTES) || bytes == 0 {
        return Err(OvmfError::SectionPlace { gpa, bytes });
    }
    Ok(Section { gpa, bytes, kind })
}

#[cfg(test)]
mod tests;
