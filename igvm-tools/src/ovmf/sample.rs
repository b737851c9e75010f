//! A small ROM with all that an OVMF image has for SEV-SNP, and nothing that runs: for tests and fuzz
//! targets, where another's image can't be had, and every byte must be one that can be wrong.

use super::SIGNATURE;
use super::table::{self, ENTRY_BYTES, Guid};

/// An image under construction: one page of code that is never run, metadata and table at its end.
#[derive(Clone, Debug)]
pub struct RomBuilder {
    bytes: usize,
    sections: Vec<[u32; 3]>,
    entries: Vec<(Guid, Vec<u8>)>,
    header: [u32; 4],
}

/// Bytes between the metadata's beginning and the ROM's end.
pub const METADATA: u32 = 0x400;

impl RomBuilder {
    /// A sound image with every kind of section.
    pub fn sound() -> Self {
        let number = |number: u32| number.to_le_bytes().to_vec();
        Self {
            bytes: 0x4000,
            sections: vec![
                [0x80_0000, 0x9000, 1],
                [0x80_a000, 0x3000, 1],
                [0x80_d000, 0x1000, 2],
                [0x80_e000, 0x1000, 3],
                [0x80_f000, 0x1000, 4],
                [0x81_1000, 0xf000, 1],
                [0x81_0000, 0x1000, 0x10],
            ],
            entries: vec![
                (table::SEV_ES_RESET_BLOCK, number(0x0080_b004)),
                (table::HASH_TABLE, [number(0x81_0c00), number(0x400)].concat()),
                (table::SEV_METADATA, number(METADATA)),
            ],
            header: [SIGNATURE, 0, 1, 0],
        }
    }

    /// With other sections: address, length, kind.
    #[must_use]
    pub fn sections(mut self, sections: &[[u32; 3]]) -> Self {
        self.sections = sections.to_vec();
        self
    }

    /// With this entry, in the place of one with the same GUID if there is one.
    #[must_use]
    pub fn entry(mut self, guid: Guid, data: &[u8]) -> Self {
        self.entries.retain(|(other, _)| *other != guid);
        self.entries.push((guid, data.to_vec()));
        self
    }

    /// Without an entry.
    #[must_use]
    pub fn without(mut self, guid: Guid) -> Self {
        self.entries.retain(|(other, _)| *other != guid);
        self
    }

    /// With the entry of this GUID a second time.
    #[must_use]
    pub fn twice(mut self, guid: Guid) -> Self {
        let found = self.entries.iter().find(|(other, _)| *other == guid).cloned();
        self.entries.extend(found);
        self
    }

    /// With another number in the metadata's header: 0 is the signature, 1 is added to the length, 2 is the
    /// version, 3 is added to the number of sections.
    #[must_use]
    pub fn header(mut self, index: usize, value: u32) -> Self {
        if let Some(place) = self.header.get_mut(index) {
            *place = value;
        }
        self
    }

    /// The image. Its pages differ.
    pub fn build(&self) -> Vec<u8> {
        let mut rom: Vec<u8> = (0..self.bytes).map(|at| (at / 4096 + 1) as u8).collect();
        let [signature, more_bytes, version, more_sections] = self.header;
        let count = self.sections.len() as u32;
        let header = [signature, 16 + count * 12 + more_bytes, version, count + more_sections];
        let words = header.iter().chain(self.sections.iter().flatten());
        let metadata: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        let at = self.bytes - METADATA as usize;
        put(&mut rom, at, &metadata);
        let mut table = Vec::new();
        let footer = (table::FOOTER, Vec::new());
        let total = self.entries.iter().map(|(_, data)| data.len() + ENTRY_BYTES).sum::<usize>();
        for (guid, data) in self.entries.iter().chain([&footer]) {
            let length = if *guid == table::FOOTER { total } else { data.len() } + ENTRY_BYTES;
            table.extend_from_slice(data);
            table.extend((length as u16).to_le_bytes());
            table.extend(guid);
        }
        let end = self.bytes - 32;
        put(&mut rom, end - table.len(), &table);
        rom
    }
}

fn put(rom: &mut [u8], at: usize, bytes: &[u8]) {
    // Sections and entries that fill more than the ROM are left out: it is as wrong without them.
    if let Some(place) = rom.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
