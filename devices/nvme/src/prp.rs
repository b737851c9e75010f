//! Where a command's data are in guest memory: PRP entries and lists (NVM Express 1.4, 4.3).

use devices::disk::BUFFER_BYTES;
use devices::guest_memory::GuestMemory;

use crate::spec::{PAGE_BYTES, Status};

/// The most pages of a transfer: one more than its bytes fill, as it may begin in the middle of one.
const PAGES_MAX: usize = BUFFER_BYTES / PAGE_BYTES as usize + 1;
/// Bytes of an entry.
const ENTRY_BYTES: u64 = 8;

/// The pages of a transfer. The list was read once; what the guest makes of it afterwards is not seen.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// The first byte of each part.
    pages: [u64; PAGES_MAX],
    /// How many bytes there are.
    bytes: usize,
}

/// A page that is not the first one begins at its start.
fn aligned(entry: u64) -> Result<u64, Status> {
    if entry.is_multiple_of(PAGE_BYTES) { Ok(entry) } else { Err(Status::INVALID_PRP_OFFSET) }
}

/// How many bytes there are from an address to the end of its page.
fn rest_of_page(address: u64) -> u64 {
    PAGE_BYTES - address % PAGE_BYTES
}

impl Buffer {
    /// Nothing.
    pub const EMPTY: Self = Self { pages: [0; PAGES_MAX], bytes: 0 };

    /// The places of so many bytes.
    ///
    /// # Errors
    /// When an entry has an offset that it must not have, or a list is not memory; when there are more bytes
    /// than a transfer may have.
    pub fn new(memory: &impl GuestMemory, prps: [u64; 2], bytes: usize) -> Result<Self, Status> {
        if bytes > BUFFER_BYTES {
            return Err(Status::INVALID_FIELD);
        }
        let [first, second] = prps;
        // The first entry alone may have an offset, in dwords.
        if !first.is_multiple_of(4) {
            return Err(Status::INVALID_PRP_OFFSET);
        }
        let mut buffer = Self { pages: [0; PAGES_MAX], bytes };
        let left = (bytes as u64).saturating_sub(rest_of_page(first));
        let mut pages = buffer.pages.iter_mut();
        if let Some(page) = pages.next() {
            *page = first;
        }
        match left.div_ceil(PAGE_BYTES) {
            // The second entry is reserved then.
            0 => {}
            1 => *pages.next().ok_or(Status::INVALID_FIELD)? = aligned(second)?,
            count => read_list(memory, second, pages.take(count as usize))?,
        }
        Ok(buffer)
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where each part is, and how many bytes it has.
    fn parts(&self) -> impl Iterator<Item = (u64, usize)> {
        let mut left = self.bytes;
        self.pages.iter().map_while(move |page| {
            let part = left.min(rest_of_page(*page) as usize);
            left -= part;
            (part > 0).then_some((*page, part))
        })
    }

    /// Copies guest memory out.
    ///
    /// # Errors
    /// When a part is not memory.
    pub fn read(&self, memory: &impl GuestMemory, mut bytes: &mut [u8]) -> Result<(), Status> {
        for (gpa, part) in self.parts() {
            let (to, rest) = bytes.split_at_mut_checked(part).ok_or(Status::INTERNAL)?;
            memory.read(gpa, to).map_err(|_| Status::DATA_TRANSFER)?;
            bytes = rest;
        }
        Ok(())
    }

    /// Copies bytes to guest memory.
    ///
    /// # Errors
    /// When a part is not memory; those in front of it are written then.
    pub fn write(&self, memory: &impl GuestMemory, mut bytes: &[u8]) -> Result<(), Status> {
        for (gpa, part) in self.parts() {
            let (from, rest) = bytes.split_at_checked(part).ok_or(Status::INTERNAL)?;
            memory.write(gpa, from).map_err(|_| Status::DATA_TRANSFER)?;
            bytes = rest;
        }
        Ok(())
    }
}

/// Reads as many entries as there are pages to fill, from a list that may go on in another page.
fn read_list<'a>(
    memory: &impl GuestMemory,
    mut at: u64,
    pages: impl ExactSizeIterator<Item = &'a mut u64>,
) -> Result<(), Status> {
    if !at.is_multiple_of(ENTRY_BYTES) {
        return Err(Status::INVALID_PRP_OFFSET);
    }
    let entry = |at: u64| {
        let mut bytes = [0; ENTRY_BYTES as usize];
        memory.read(at, &mut bytes).map(|()| u64::from_le_bytes(bytes)).map_err(|_| Status::DATA_TRANSFER)
    };
    let mut left = pages.len();
    for page in pages {
        // The last entry of a list's page leads to the next page, unless it is the last of all.
        if rest_of_page(at) == ENTRY_BYTES && left > 1 {
            at = aligned(entry(at)?)?;
        }
        *page = aligned(entry(at)?)?;
        // A list never goes beyond its page but by such an entry: no address is behind the last one.
        at = at.wrapping_add(ENTRY_BYTES);
        left -= 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
