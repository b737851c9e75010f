//! The RAM file system: the image's directory, and its system files mapped read-only, one behind the other.
#![allow(
    unsafe_code,
    reason = "the directory and the files lie at addresses that the image and this module decide"
)]

use core::cell::UnsafeCell;

use vcpu_abi::boot::{BootPage, DirectoryEntry, NAME_BYTES, file_kind};

use crate::layout::{FILES, PAGE};
use crate::memory::self_map::{self, MapKind};
use crate::memory::{MemoryError, guest_memory};

/// The most files an image may have.
pub const FILES_MAX: usize = 64;

/// A file, by its place in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File(usize);

#[derive(Clone, Copy)]
struct Known {
    entry: DirectoryEntry,
    /// Where a system file is mapped.
    address: u64,
}

struct Directory {
    files: [Option<Known>; FILES_MAX],
}

impl Directory {
    const fn new() -> Self {
        Self { files: [None; FILES_MAX] }
    }

    /// Notes what the image lists, as many as fit, and gives each system file its pages of the kernel's area.
    fn fill(&mut self, entries: &[DirectoryEntry]) {
        let mut address = FILES;
        for (place, entry) in self.files.iter_mut().zip(entries) {
            *place = Some(Known { entry: *entry, address });
            if entry.kind == file_kind::SYSTEM {
                address += entry.bytes.div_ceil(PAGE) * PAGE;
            }
        }
    }

    fn find(&self, name: &[u8]) -> Option<File> {
        let mut padded = [0; NAME_BYTES];
        // A name that is longer than any is no file's.
        padded.get_mut(..name.len())?.copy_from_slice(name);
        self.files.iter().position(|f| f.is_some_and(|f| f.entry.name == padded)).map(File)
    }
}

struct Place(UnsafeCell<Directory>);
// SAFETY: written once at boot, before there is any process or second processor; only read afterwards.
unsafe impl Sync for Place {}
static DIRECTORY: Place = Place(UnsafeCell::new(Directory::new()));

fn directory() -> &'static Directory {
    // SAFETY: `start` is over before anybody reads.
    unsafe { &*DIRECTORY.0.get() }
}

/// Reads the directory and maps the system files; once, at boot.
pub fn start(boot: &BootPage) -> Result<(), MemoryError> {
    let count = (boot.directory_entries as usize).min(FILES_MAX);
    // SAFETY: the builder maps that many entries there; the image is trusted as far as the kernel itself.
    let entries =
        unsafe { core::slice::from_raw_parts(boot.directory_virtual as *const DirectoryEntry, count) };
    // SAFETY: boot, one processor, no reader yet.
    let directory = unsafe { &mut *DIRECTORY.0.get() };
    directory.fill(entries);
    for Known { entry, address } in
        directory.files.iter().flatten().filter(|f| f.entry.kind == file_kind::SYSTEM)
    {
        for page in 0..entry.bytes.div_ceil(PAGE) {
            self_map::map_physical(address + page * PAGE, entry.gpa + page * PAGE, MapKind::ReadOnly)?;
        }
    }
    Ok(())
}

/// Finds a file by name.
pub fn open(name: &[u8]) -> Option<File> {
    directory().find(name)
}

impl File {
    fn known(self) -> Option<Known> {
        directory().files.get(self.0).copied().flatten()
    }

    /// The name.
    pub fn name(self) -> [u8; NAME_BYTES] {
        self.known().map_or([0; NAME_BYTES], |f| f.entry.name)
    }

    /// Size in bytes.
    pub fn bytes(self) -> u64 {
        self.known().map_or(0, |f| f.entry.bytes)
    }

    /// `file_kind`.
    pub fn kind(self) -> u32 {
        self.known().map_or(0, |f| f.entry.kind)
    }

    /// Where a payload file lies in guest memory; zero for a system file, or where the host has no memory
    /// there.
    pub fn gpa(self) -> u64 {
        self.known()
            .filter(|f| {
                f.entry.kind == file_kind::PAYLOAD && guest_memory::contains(f.entry.gpa, f.entry.bytes)
            })
            .map_or(0, |f| f.entry.gpa)
    }

    /// The contents of a system file; nothing of a payload file.
    pub fn contents(self) -> &'static [u8] {
        match self.known() {
            Some(f) if f.entry.kind == file_kind::SYSTEM => {
                // SAFETY: mapped read-only by `start`, for ever, that long.
                unsafe { core::slice::from_raw_parts(f.address as *const u8, f.entry.bytes as usize) }
            }
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests;
