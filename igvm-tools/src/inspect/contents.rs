//! Guest memory as a file would fill it, to read the boot page and the directory in it.

use std::collections::BTreeMap;

use pvh_loader::PAGE_BYTES;
use pvh_loader::file::{Directive, FileError, IgvmFile};
use pvh_loader::memory::Memory;
use pvh_loader::walk;
use serde::Serialize;
use sha2::{Digest, Sha256};
use vcpu_abi::boot::{
    BOOT_FLAG_DEBUG, BOOT_FLAG_MITIGATIONS, BOOT_FLAG_NO_SHORTCUTS, BOOT_MAGIC, BootPage, DirectoryEntry,
    file_kind,
};
use zerocopy::FromBytes;

use super::ContextInfo;
use crate::measure::hex;

/// Files of a directory that are looked at: as many as the kernel takes (`FILES_MAX` there).
const FILES_MOST: u32 = 64;

static ZEROS: [u8; PAGE_BYTES as usize] = [0; PAGE_BYTES as usize];

/// The pages of a file by address.
#[derive(Clone, Debug)]
pub struct Contents<'a>(BTreeMap<u64, &'a [u8]>);

/// What an image of ours says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plinth {
    /// Its log goes to the host's console.
    pub debug: bool,
    /// It takes measures against speculative execution.
    pub mitigations: bool,
    /// Its kernel takes short cuts.
    pub shortcuts: bool,
    /// First byte of the window.
    pub window_gpa: u64,
    /// Size of the window.
    pub window_bytes: u64,
    /// End of the image in the window.
    pub image_end_gpa: u64,
    /// Its files, in the order of the directory.
    pub files: Vec<ImageFile>,
}

/// A file of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageFile {
    /// Its name.
    pub name: String,
    /// `system`, `payload`, or a number.
    pub kind: String,
    /// First byte.
    pub gpa: u64,
    /// Its length.
    pub bytes: u64,
    /// Digest of its contents; none if the image does not hold them all.
    pub sha256: Option<String>,
}

impl<'a> Contents<'a> {
    /// Collects the pages of a file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn new(file: &IgvmFile<'a>) -> Result<Self, FileError> {
        let mut pages = BTreeMap::new();
        for directive in file.directives() {
            if let Directive::Page { gpa, data, .. } = directive? {
                // Of two at one address the later one counts, as it does when the file is loaded.
                pages.insert(gpa, data.unwrap_or(&ZEROS));
            }
        }
        Ok(Self(pages))
    }

    /// The boot page that the context's RDI points to, and the directory.
    pub fn plinth(&self, context: &ContextInfo) -> Option<Plinth> {
        let boot = self.read_virtual(context.cr3, context.rdi, size_of::<BootPage>())?;
        // Another's image may have anything where RDI points.
        let boot = BootPage::read_from_bytes(&boot).ok().filter(|boot| boot.magic == BOOT_MAGIC)?;
        let stride = size_of::<DirectoryEntry>();
        // The file says how many there are, and its page tables may map one page everywhere.
        let files = (0..u64::from(boot.directory_entries.min(FILES_MOST)))
            // The first one that is not there ends it.
            .map_while(|index| {
                let address = boot.directory_virtual.checked_add(index * stride as u64)?;
                let entry = self.read_virtual(context.cr3, address, stride)?;
                DirectoryEntry::read_from_bytes(&entry).ok()
            })
            .map(|entry| self.file(&entry))
            .collect();
        Some(Plinth {
            debug: boot.flags & BOOT_FLAG_DEBUG != 0,
            mitigations: boot.flags & BOOT_FLAG_MITIGATIONS != 0,
            shortcuts: boot.flags & BOOT_FLAG_NO_SHORTCUTS == 0,
            window_gpa: boot.window_gpa,
            window_bytes: boot.window_bytes,
            image_end_gpa: boot.image_end_gpa,
            files,
        })
    }

    fn file(&self, entry: &DirectoryEntry) -> ImageFile {
        // Padded with zeros, none if the name is as long as may be.
        let name = entry.name.split(|byte| *byte == 0).next().unwrap_or(&[]);
        let kind = match entry.kind {
            file_kind::SYSTEM => "system".to_owned(),
            file_kind::PAYLOAD => "payload".to_owned(),
            other => other.to_string(),
        };
        ImageFile {
            name: String::from_utf8_lossy(name).into_owned(),
            kind,
            gpa: entry.gpa,
            bytes: entry.bytes,
            sha256: self.digest(entry.gpa, entry.bytes),
        }
    }

    /// The digest of a range. Ends at the first page that is not there, so a wild length costs nothing.
    fn digest(&self, gpa: u64, bytes: u64) -> Option<String> {
        let mut hash = Sha256::new();
        let mut left = bytes;
        let mut at = gpa;
        while left > 0 {
            let chunk = left.min(PAGE_BYTES - at % PAGE_BYTES);
            hash.update(self.slice(at, chunk)?);
            left -= chunk;
            at = at.checked_add(chunk)?;
        }
        Some(hex(&hash.finalize()))
    }

    /// Reads bytes at a virtual address through the image's own page tables.
    fn read_virtual(&self, cr3: u64, address: u64, bytes: usize) -> Option<Vec<u8>> {
        let mut result = Vec::with_capacity(bytes);
        while result.len() < bytes {
            let at = address.checked_add(result.len() as u64)?;
            let chunk = ((bytes - result.len()) as u64).min(PAGE_BYTES - at % PAGE_BYTES);
            // Page by page: neighbours in virtual memory need not be neighbours in the file.
            let physical = walk::translate(self, cr3, at)?.gpa;
            result.extend_from_slice(self.slice(physical, chunk)?);
        }
        Some(result)
    }
}

impl Memory for Contents<'_> {
    /// Within one page only: that is all that is asked for here.
    fn slice(&self, gpa: u64, bytes: u64) -> Option<&[u8]> {
        let offset = gpa % PAGE_BYTES;
        let end = offset.checked_add(bytes)?;
        self.0.get(&(gpa - offset))?.get(offset as usize..usize::try_from(end).ok()?)
    }

    fn slice_mut(&mut self, _gpa: u64, _bytes: u64) -> Option<&mut [u8]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;

    #[test]
    fn a_directory_without_end_is_cut() {
        // The tables at 1000h to 4000h map the boot page at 0, and one page of zeros everywhere behind it.
        let mut tables = [[0u64; 512]; 4];
        for (at, table) in (2..=4).zip(&mut tables) {
            table[0] = at << 12 | 1;
        }
        tables[3] = [0x6000 | 1; 512];
        tables[3][0] = 0x5000 | 1;
        let mut boot = BootPage::new_zeroed();
        (boot.magic, boot.directory_entries, boot.directory_virtual) = (BOOT_MAGIC, u32::MAX, PAGE_BYTES);
        let mut page = ZEROS;
        page[..size_of::<BootPage>()].copy_from_slice(boot.as_bytes());
        let mut pages: BTreeMap<u64, &[u8]> =
            (1..).zip(&tables).map(|(at, table)| (at << 12, table.as_bytes())).collect();
        pages.insert(0x5000, &page);
        pages.insert(0x6000, &ZEROS);
        let context = ContextInfo { cr3: 0x1000, ..ContextInfo::default() };
        let plinth = Contents(pages).plinth(&context).unwrap();
        assert_eq!(plinth.files.len(), FILES_MOST as usize);
    }
}
