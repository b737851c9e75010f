//! The table of GUIDs near a ROM's end.

use super::OvmfError;

/// A GUID as it stands in memory: the first three fields little-endian.
pub type Guid = [u8; 16];

/// Bytes behind the table: the reset vector.
const RESET_VECTOR_BYTES: usize = 32;

/// Bytes of an entry's length and GUID, which come behind its data.
pub(super) const ENTRY_BYTES: usize = 18;

/// 96b582de-1fb2-45f7-baea-a366c55a082d: the footer.
pub(super) const FOOTER: Guid = guid(0x96b5_82de, 0x1fb2, 0x45f7, 0xbaea_a366_c55a_082d);

/// 00f771de-1a7e-4fcb-890e-68c77e2fb44e: where other processors start under SEV-ES.
pub(super) const SEV_ES_RESET_BLOCK: Guid = guid(0x00f7_71de, 0x1a7e, 0x4fcb, 0x890e_68c7_7e2f_b44e);

/// dc886566-984a-4798-a75e-5585a7bf67cc: how far the SEV metadata begins before the ROM's end.
pub(super) const SEV_METADATA: Guid = guid(0xdc88_6566, 0x984a, 0x4798, 0xa75e_5585_a7bf_67cc);

/// 7255371f-3a3b-4b04-927b-1da6efa8d454: address and size of the table of hashes.
pub(super) const HASH_TABLE: Guid = guid(0x7255_371f, 0x3a3b, 0x4b04, 0x927b_1da6_efa8_d454);

/// A GUID from its fields as they are written.
pub const fn guid(first: u32, second: u16, third: u16, rest: u64) -> Guid {
    let ([a, b, c, d], [e, f], [g, h]) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes());
    let [i, j, k, l, m, n, o, p] = rest.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// The entries, the one nearest to the ROM's end first.
#[derive(Clone, Debug)]
pub(super) struct Table<'a>(Vec<(Guid, &'a [u8])>);

impl<'a> Table<'a> {
    /// Finds the table and takes it apart.
    pub fn read(rom: &'a [u8]) -> Result<Self, OvmfError> {
        let end = rom.len().checked_sub(RESET_VECTOR_BYTES).and_then(|end| rom.get(..end));
        let (guid, mut entries, _) = end.and_then(split_entry).ok_or(OvmfError::NoTable)?;
        // The footer's data are all the other entries.
        if guid != FOOTER {
            return Err(OvmfError::NoTable);
        }
        let mut found: Vec<(Guid, &[u8])> = Vec::new();
        while !entries.is_empty() {
            let (guid, data, rest) = split_entry(entries).ok_or(OvmfError::Entry(entries.len()))?;
            // Of two, one program would take the one and another program the other.
            if found.iter().any(|(other, _)| *other == guid) {
                return Err(OvmfError::EntryTwice(guid));
            }
            found.push((guid, data));
            entries = rest;
        }
        Ok(Self(found))
    }

    /// The 32-bit number that an entry's data begin with; `None` if there is no such entry.
    pub fn number(&self, wanted: Guid) -> Result<Option<u32>, OvmfError> {
        let Some((_, data)) = self.0.iter().find(|(guid, _)| *guid == wanted) else { return Ok(None) };
        match data {
            [a, b, c, d, ..] => Ok(Some(u32::from_le_bytes([*a, *b, *c, *d]))),
            _ => Err(OvmfError::EntryShort(wanted)),
        }
    }
}

/// The last entry of a table: its GUID, its data, and the table in front of it.
fn split_entry(table: &[u8]) -> Option<(Guid, &[u8], &[u8])> {
    let (rest, guid) = table.split_last_chunk::<16>()?;
    let (_, length) = rest.split_last_chunk::<2>()?;
    // The length is of data, length and GUID together.
    let length = usize::from(u16::from_le_bytes(*length));
    let start = table.len().checked_sub(length)?;
    let data_end = table.len().checked_sub(ENTRY_BYTES)?;
    Some((*guid, table.get(start..data_end)?, table.get(..start)?))
}
