//! What can be wrong with an OVMF image.

use super::SectionKind;
use super::table::Guid;

/// The first thing found wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OvmfError {
    /// The size is not whole pages, zero, or more than firmware may have.
    #[error("{0} bytes are no ROM: a ROM has whole pages of 4 KiB, and 16 MiB at most")]
    RomSize(u64),
    /// No footer where the table ends.
    #[error("the ROM has no table of GUIDs in front of its last 32 bytes: it is no OVMF")]
    NoTable,
    /// An entry is longer than what is left of the table, or shorter than an entry can be.
    #[error("the table of GUIDs is corrupt: its first {0} bytes do not end with an entry")]
    Entry(usize),
    /// A GUID is there twice.
    #[error("the table of GUIDs has two entries {}", text(.0))]
    EntryTwice(Guid),
    /// An entry has fewer data than its GUID promises.
    #[error("the table of GUIDs has too few bytes in entry {}", text(.0))]
    EntryShort(Guid),
    /// No entry says where other processors start.
    #[error("the ROM does not say where processors other than the first start: it is not for SEV-ES or SNP")]
    NoResetBlock,
    /// No entry leads to the metadata.
    #[error("the ROM has no SEV metadata: it is not for SEV-SNP")]
    NoMetadata,
    /// The metadata are not all in the ROM.
    #[error("the SEV metadata, {0:#x} bytes before the ROM's end, are not all in the ROM")]
    MetadataRange(u32),
    /// The metadata do not begin with "ASEV".
    #[error("the SEV metadata begin with {0:#010x}, not with \"ASEV\"")]
    Signature(u32),
    /// A version other than 1.
    #[error("version {0} of the SEV metadata is not supported (1 is)")]
    Version(u32),
    /// More sections than any image has.
    #[error("the SEV metadata say that they have {0} sections")]
    TooManySections(u32),
    /// A kind of section that is not known.
    #[error("the SEV metadata have a section of the unknown kind {0:#x}")]
    Kind(u32),
    /// A section is not in whole pages, or empty.
    #[error("the section at {gpa:#x} with {bytes:#x} bytes is not in whole pages")]
    SectionPlace {
        /// First byte.
        gpa: u64,
        /// Length.
        bytes: u64,
    },
    /// A section overlaps another one, or the ROM.
    #[error("two sections, or a section and the ROM, overlap at {0:#x}")]
    Overlap(u64),
    /// A section that must be one page is more, or is there twice.
    #[error("the {kind:?} section at {gpa:#x} is a second one, or not one page")]
    OnePage {
        /// Its kind.
        kind: SectionKind,
        /// First byte.
        gpa: u64,
    },
    /// The table of hashes is not in the section for it.
    #[error("the ROM looks for hashes at {0:#x}, which is not in its section for them")]
    HashTable(u64),
}

/// A GUID as it is usually written.
fn text(guid: &Guid) -> String {
    let [a, b, c, d, e, f, g, h, rest @ ..] = guid;
    let first = u32::from_le_bytes([*a, *b, *c, *d]);
    let (second, third) = (u16::from_le_bytes([*e, *f]), u16::from_le_bytes([*g, *h]));
    let rest = u64::from_be_bytes(*rest);
    format!("{first:08x}-{second:04x}-{third:04x}-{:04x}-{:012x}", rest >> 48, rest & 0xffff_ffff_ffff)
}
