//! Multiboot 2: the header in a kernel file, and what the kernel is told (Multiboot2 Specification 2.0).

use alloc::vec::Vec;

use super::multiboot::{Header, Load, lower_and_upper, word};
use super::{ElfError, Facts, Information, LOADER_NAME, MODULE_NAME, with_zero};
use crate::boot::{MemoryKind, layout};

const MAGIC: u32 = 0xe852_50d6;
/// What EAX says at the entry (3.3).
const BOOTED: u32 = 0x36d7_6289;
/// The header lies whole in so much of the file, at a multiple of eight (3.1).
pub const HEADER_BYTES: usize = 32768;

/// Tags of a header (3.1.3 and on).
mod header_tag {
    pub const END: u16 = 0;
    pub const ADDRESS: u16 = 2;
    pub const ENTRY: u16 = 3;
    /// Information wanted, console flags, a screen, modules in pages, EFI's boot services and entries, a
    /// place to be moved to. Of these what there is is told anyway, and the machine has no screen and no EFI.
    pub const WITHOUT_EFFECT: [u16; 8] = [1, 4, 5, 6, 7, 8, 9, 10];
    /// The kernel can do without.
    pub const OPTIONAL: u16 = 1;
}

/// The header, if the file has one.
///
/// # Errors
/// When it asks for what is not known, or contradicts itself.
pub fn find(head: &[u8]) -> Result<Option<Header>, ElfError> {
    /// i386, protected mode.
    const ARCHITECTURE: u32 = 0;
    let head = head.get(..HEADER_BYTES).unwrap_or(head);
    let is_header = |at: &usize| {
        let words = [0, 4, 8, 12].map(|offset| word(head, at + offset).unwrap_or(0));
        let [magic, architecture, ..] = words;
        magic == MAGIC
            && architecture == ARCHITECTURE
            && words.iter().fold(0u32, |a, b| a.wrapping_add(*b)) == 0
    };
    let Some(at) = (0..head.len()).step_by(8).find(is_header) else { return Ok(None) };
    let length = word(head, at + 8).unwrap_or(0) as usize;
    let all = head.get(at..at.saturating_add(length)).ok_or(ElfError::Multiboot)?;
    let mut tags = all.get(16..).ok_or(ElfError::Multiboot)?;
    let mut header = Header::default();
    loop {
        let [kind, size] =
            [0, 4].map(|offset| word(tags, offset)).map(|word| word.ok_or(ElfError::Multiboot));
        let (kind, size) = (kind?, size? as usize);
        let (kind, flags) = (kind as u16, (kind >> 16) as u16);
        let tag = tags.get(..size).filter(|tag| tag.len() >= 8).ok_or(ElfError::Multiboot)?;
        let field = |index: usize| word(tag, 8 + 4 * index).ok_or(ElfError::Multiboot);
        match kind {
            header_tag::END => return Ok(Some(header)),
            header_tag::ADDRESS => {
                header.load = Some(Load::new(at, field(0)?, field(1)?, [field(2)?, field(3)?])?);
            }
            header_tag::ENTRY => header.entry = Some(field(0)?),
            _ if header_tag::WITHOUT_EFFECT.contains(&kind) => {}
            _ if flags & header_tag::OPTIONAL != 0 => {}
            _ => return Err(ElfError::Demand(u32::from(kind))),
        }
        tags = tags.get(size.next_multiple_of(8)..).ok_or(ElfError::Multiboot)?;
    }
}

/// Types of what the kernel is told (3.6).
mod tag {
    pub const END: u32 = 0;
    pub const COMMAND_LINE: u32 = 1;
    pub const LOADER_NAME: u32 = 2;
    pub const MODULE: u32 = 3;
    pub const MEMORY: u32 = 4;
    pub const MEMORY_MAP: u32 = 6;
}

/// EBX has its address, EAX says that a loader of multiboot 2 was there. The RSDP is found in the firmware
/// area, as on any PC: a tag would have to hold a copy of it.
pub fn information(facts: &Facts<'_>) -> Information {
    // The total size, and a word that is reserved.
    let mut bytes = alloc::vec![0; 8];
    let mut put = |kind: u32, content: &[&[u8]]| {
        let size = 8 + content.iter().map(|part| part.len()).sum::<usize>();
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&(size as u32).to_le_bytes());
        content.iter().for_each(|part| bytes.extend_from_slice(part));
        // Each tag begins at a multiple of eight.
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    };
    put(tag::COMMAND_LINE, &[&with_zero(facts.command_line)]);
    put(tag::LOADER_NAME, &[LOADER_NAME]);
    if !facts.module.is_empty() {
        let ends = [facts.module.start as u32, facts.module.end as u32].map(u32::to_le_bytes);
        put(tag::MODULE, &[ends.as_flattened(), MODULE_NAME]);
    }
    put(tag::MEMORY, &[lower_and_upper(facts).map(u32::to_le_bytes).as_flattened()]);
    let mut map = Vec::new();
    for range in facts.memory {
        let kind: MemoryKind = range.kind;
        map.extend_from_slice(&range.gpa.to_le_bytes());
        map.extend_from_slice(&range.bytes.to_le_bytes());
        map.extend_from_slice(&u64::from(kind as u32).to_le_bytes());
    }
    // The size and version of an entry.
    put(tag::MEMORY_MAP, &[[24u32, 0].map(u32::to_le_bytes).as_flattened(), &map]);
    put(tag::END, &[]);
    let total = (bytes.len() as u32).to_le_bytes();
    for (to, from) in bytes.iter_mut().zip(total) {
        *to = from;
    }
    Information { eax: BOOTED, ebx: layout::COMMAND_LINE, bytes }
}
