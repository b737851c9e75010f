//! Multiboot 1: the header in a kernel file, and what the kernel is told (Multiboot Specification 0.6.96).

use alloc::vec::Vec;

use super::{ElfError, Facts, Information, LOADER_NAME, LoadSegment, MODULE_NAME};
use crate::boot::layout;
use crate::boot::memory_map::usable_from;

const MAGIC: u32 = 0x1bad_b002;
/// What EAX says at the entry (3.2).
const BOOTED: u32 = 0x2bad_b002;
/// The header lies whole in so much of the file, at a multiple of four (3.1).
const SEARCHED_BYTES: usize = 8192;
/// Bits that a loader must know (3.1.2). Modules are always in whole pages, memory is always told, and the
/// machine has no screen to set: a kernel that would like one is started without, as other loaders do.
const KNOWN_DEMANDS: u32 = 0b111;
const DEMANDS: u32 = 0xffff;
/// The header has addresses.
const HAS_ADDRESSES: u32 = 1 << 16;

/// Where a header says that its file is to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Offset in the file of what is loaded first.
    pub offset: u64,
    /// Where that goes.
    pub gpa: u32,
    /// One past the last byte loaded; 0: to the file's end.
    pub load_end: u32,
    /// One past the last byte of zeroes behind it; 0: none.
    pub bss_end: u32,
}

impl Load {
    /// From a header at an offset of the file, which is to come to lie at an address.
    pub fn new(at: usize, header_gpa: u32, gpa: u32, ends: [u32; 2]) -> Result<Self, ElfError> {
        let before = header_gpa.checked_sub(gpa).ok_or(ElfError::Multiboot)?;
        let offset = (at as u64).checked_sub(u64::from(before)).ok_or(ElfError::Multiboot)?;
        let [load_end, bss_end] = ends;
        Ok(Self { offset, gpa, load_end, bss_end })
    }

    /// The one segment that there is then.
    pub fn segment(&self, file_bytes: u64) -> Result<LoadSegment, ElfError> {
        let gpa = u64::from(self.gpa);
        let from_gpa = |end: u32| u64::from(end).checked_sub(gpa).ok_or(ElfError::Multiboot);
        let all = file_bytes.checked_sub(self.offset).ok_or(ElfError::Segments)?;
        let in_file = if self.load_end == 0 { all } else { from_gpa(self.load_end)? };
        if in_file == 0 || in_file > all {
            return Err(ElfError::Segments);
        }
        let bytes = if self.bss_end == 0 { in_file } else { from_gpa(self.bss_end)?.max(in_file) };
        Ok(LoadSegment { gpa, file: self.offset..self.offset + in_file, bytes })
    }
}

/// What a header of either version asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Where to load the file, if not as ELF.
    pub load: Option<Load>,
    /// Where to enter it, if not as ELF.
    pub entry: Option<u32>,
}

/// A word of the file.
pub fn word(head: &[u8], at: usize) -> Option<u32> {
    head.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

/// The header, if the file has one.
///
/// # Errors
/// When it asks for what is not known, or contradicts itself.
pub fn find(head: &[u8]) -> Result<Option<Header>, ElfError> {
    let searched = head.get(..SEARCHED_BYTES).unwrap_or(head);
    let field = |at: usize, index: usize| word(searched, at + 4 * index);
    let is_header = |at: &usize| {
        let [magic, flags, checksum] = [0, 1, 2].map(|index| field(*at, index).unwrap_or(0));
        magic == MAGIC && magic.wrapping_add(flags).wrapping_add(checksum) == 0
    };
    let Some(at) = (0..searched.len()).step_by(4).find(is_header) else { return Ok(None) };
    let flags = field(at, 1).unwrap_or(0);
    if flags & DEMANDS & !KNOWN_DEMANDS != 0 {
        return Err(ElfError::Demand(flags & DEMANDS & !KNOWN_DEMANDS));
    }
    if flags & HAS_ADDRESSES == 0 {
        return Ok(Some(Header::default()));
    }
    let field = |index| field(at, index).ok_or(ElfError::Multiboot);
    let load = Load::new(at, field(3)?, field(4)?, [field(5)?, field(6)?])?;
    Ok(Some(Header { load: Some(load), entry: Some(field(7)?) }))
}

/// Offsets of what the kernel is told (3.3), from EBX.
mod offset {
    pub const FLAGS: usize = 0;
    pub const MEM_LOWER: usize = 4;
    pub const MEM_UPPER: usize = 8;
    pub const CMDLINE: usize = 16;
    pub const MODS_COUNT: usize = 20;
    pub const MODS_ADDR: usize = 24;
    pub const MMAP_LENGTH: usize = 44;
    pub const MMAP_ADDR: usize = 48;
    pub const BOOT_LOADER_NAME: usize = 64;
    /// All fields, those of the screen too.
    pub const END: usize = 116;
}

/// Flags: which fields are valid.
mod valid {
    pub const MEMORY: u32 = 1 << 0;
    pub const CMDLINE: u32 = 1 << 2;
    pub const MODS: u32 = 1 << 3;
    pub const MMAP: u32 = 1 << 6;
    pub const BOOT_LOADER_NAME: u32 = 1 << 9;
}

/// KiB of RAM from 0 and from 1 MiB on, up to the first gap, as both versions tell them.
pub fn lower_and_upper(facts: &Facts<'_>) -> [u32; 2] {
    let kib = |from: u64| u32::try_from(usable_from(facts.memory, from) >> 10).unwrap_or(u32::MAX);
    [kib(0).min(640), kib(1 << 20)]
}

/// EBX has its address, EAX says that a loader of multiboot was there.
pub fn information(facts: &Facts<'_>) -> Information {
    let start = layout::BOOT_PARAMS;
    let mut bytes = alloc::vec![0; offset::END];
    let mut fields: Vec<(usize, u32)> = Vec::new();
    let mut flags = valid::MEMORY | valid::CMDLINE | valid::MODS | valid::MMAP | valid::BOOT_LOADER_NAME;
    let [lower, upper] = lower_and_upper(facts);
    fields.extend([(offset::MEM_LOWER, lower), (offset::MEM_UPPER, upper)]);
    fields.push((offset::CMDLINE, layout::COMMAND_LINE as u32));
    let append = |bytes: &mut Vec<u8>, more: &[u8]| {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let at = start as u32 + bytes.len() as u32;
        bytes.extend_from_slice(more);
        at
    };
    fields.push((offset::BOOT_LOADER_NAME, append(&mut bytes, LOADER_NAME)));
    if facts.module.is_empty() {
        flags &= !valid::MODS;
    } else {
        let name = append(&mut bytes, MODULE_NAME);
        let words = [facts.module.start as u32, facts.module.end as u32, name, 0].map(u32::to_le_bytes);
        fields
            .extend([(offset::MODS_COUNT, 1), (offset::MODS_ADDR, append(&mut bytes, words.as_flattened()))]);
    }
    let mut map = Vec::new();
    for range in facts.memory {
        // The size of what follows.
        map.extend_from_slice(&20u32.to_le_bytes());
        map.extend_from_slice(&range.gpa.to_le_bytes());
        map.extend_from_slice(&range.bytes.to_le_bytes());
        map.extend_from_slice(&(range.kind as u32).to_le_bytes());
    }
    fields.push((offset::MMAP_LENGTH, map.len() as u32));
    fields.push((offset::MMAP_ADDR, append(&mut bytes, &map)));
    fields.push((offset::FLAGS, flags));
    for (at, value) in fields {
        for (to, from) in bytes.iter_mut().skip(at).zip(value.to_le_bytes()) {
            *to = from;
        }
    }
    Information { eax: BOOTED, ebx: start, bytes }
}
