//! What the file system needs of the machine: memory that clients share, memory that they may map, and the
//! files of the image.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use file_link::MEMORY_MAX;
use runtime::abi::boot::file_kind;
use runtime::abi::operation::{FileRead, HANDLE_SELF, Handle, HandleNarrow, Permissions, Rights};
use runtime::abi::status::Status;
use runtime::shared::{SharedMemory, SharedPlace};
use runtime::{call, process};

use crate::limits::{FILE_BYTES, MAPPED};

/// Memory for a file that is mapped: each name space has a few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The name space's index.
    pub space: usize,
    /// Which of its slots.
    pub index: usize,
}

/// What the file system needs.
pub trait Machine {
    /// Takes the memory that a name space's client passes, in place of what it passed before. `false`: it is
    /// none, or may not be written.
    fn connect(&mut self, space: usize, memory: Handle) -> bool;
    /// That memory; none before it was passed.
    fn memory(&self, space: usize) -> &[AtomicU64];
    /// Makes a slot's memory, all zeros. `false`: there is not enough.
    fn make(&mut self, slot: Slot) -> bool;
    /// A slot's memory, once it was made.
    fn mapped(&self, slot: Slot) -> &[AtomicU64];
    /// A handle to it that may be passed, to be written or only to be read.
    fn handle(&self, slot: Slot, is_written: bool) -> Handle;
    /// The size of a file of the image.
    fn image_bytes(&mut self, name: &[u8]) -> Option<u64>;
    /// Reads such a file from a byte on. Returns how much.
    fn image_read(&mut self, name: &[u8], first: u64, into: &mut [u8]) -> Option<usize>;
}

/// A slot's memory.
struct Mapped {
    place: SharedPlace,
    /// To be written and to be read, once it was made.
    handles: Option<(Handle, Handle)>,
}

/// A name space's memory.
struct Memory {
    passed: SharedPlace,
    slots: Vec<Mapped>,
}

/// The machine as it is.
pub struct Host {
    files: Option<Handle>,
    spaces: Vec<Memory>,
}

impl Host {
    /// For so many name spaces. `files`: those of the image.
    ///
    /// # Errors
    /// Exhausted: address space.
    pub fn try_new(files: Option<Handle>, spaces: usize) -> Result<Self, Status> {
        // All of it at once: a client that connects again and again takes no more.
        let slot = |_| Ok(Mapped { place: SharedPlace::try_new(FILE_BYTES)?, handles: None });
        let memory = |_| {
            let slots = (0..MAPPED).map(slot).collect::<Result<_, Status>>()?;
            Ok(Memory { passed: SharedPlace::try_new(MEMORY_MAX)?, slots })
        };
        Ok(Self { files, spaces: (0..spaces).map(memory).collect::<Result<_, Status>>()? })
    }

    fn slot(&self, slot: Slot) -> Option<&Mapped> {
        self.spaces.get(slot.space)?.slots.get(slot.index)
    }

    /// Opens a file of the image for one thing and closes it again: no handle stays for a client that opens
    /// much.
    fn with_image<R>(&self, name: &[u8], once: impl FnOnce(Handle) -> Result<R, Status>) -> Option<R> {
        let name = core::str::from_utf8(name).ok()?;
        let file = process::open(self.files?, name).ok()?;
        let done = once(file);
        process::close(file).ok()?;
        done.ok()
    }
}

impl Machine for Host {
    fn connect(&mut self, space: usize, memory: Handle) -> bool {
        let Some(space) = self.spaces.get_mut(space) else { return false };
        space.passed.map(SharedMemory(memory), Permissions::READ | Permissions::WRITE).is_ok()
    }

    fn memory(&self, space: usize) -> &[AtomicU64] {
        self.spaces.get(space).map_or(&[], |space| space.passed.words())
    }

    fn make(&mut self, slot: Slot) -> bool {
        let Some(space) = self.spaces.get_mut(slot.space) else { return false };
        let Some(mapped) = space.slots.get_mut(slot.index) else { return false };
        if mapped.handles.is_none() {
            mapped.handles = make_shared(&mut mapped.place).ok();
        }
        mapped.place.words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
        mapped.handles.is_some()
    }

    fn mapped(&self, slot: Slot) -> &[AtomicU64] {
        self.slot(slot).map_or(&[], |mapped| mapped.place.words())
    }

    fn handle(&self, slot: Slot, is_written: bool) -> Handle {
        let handles = self.slot(slot).and_then(|mapped| mapped.handles);
        handles.map_or(0, |(written, read)| if is_written { written } else { read })
    }

    fn image_bytes(&mut self, name: &[u8]) -> Option<u64> {
        let info = self.with_image(name, process::info)?;
        // What is in guest memory is the guest's by now.
        (info.kind == file_kind::SYSTEM).then_some(info.bytes)
    }

    fn image_read(&mut self, name: &[u8], first: u64, into: &mut [u8]) -> Option<usize> {
        let read = FileRead { offset: first, address: into.as_mut_ptr() as u64, bytes: into.len() as u64 };
        self.with_image(name, |file| call(file, read)).map(|read| read.bytes as usize)
    }
}

/// New memory, mapped, with a handle to be written by and one to be read by.
fn make_shared(place: &mut SharedPlace) -> Result<(Handle, Handle), Status> {
    let shared = SharedMemory::try_new(FILE_BYTES)?;
    let rights = (Rights::READ | Rights::MAP | Rights::GRANT).bits();
    let narrow = HandleNarrow { source: shared.0, rights, ..HandleNarrow::default() };
    let made =
        place.map(shared, Permissions::READ | Permissions::WRITE).and_then(|()| call(HANDLE_SELF, narrow));
    match made {
        Ok(narrow) => Ok((shared.0, narrow.handle)),
        Err(status) => {
            let _ = process::close(shared.0);
            Err(status)
        }
    }
}
