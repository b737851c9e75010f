//! The files in memory, and the slots of those that are mapped.

use alloc::vec::Vec;

use file_link::{NAME_MAX, Name, Refusal};

use crate::contents::{load, store};
use crate::limits::{BYTES, FILE_BYTES, FILES, FOLDER, MAPPED, SPACES};
use crate::machine::{Machine, Slot};

/// A name with its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    bytes: [u8; FOLDER + NAME_MAX],
    length: usize,
}

impl Path {
    /// The path of a name in a folder.
    pub fn new(folder: &[u8], name: &Name) -> Option<Self> {
        let mut bytes = [0; FOLDER + NAME_MAX];
        let length = folder.len() + name.as_bytes().len();
        let place = bytes.get_mut(..length)?.iter_mut();
        place.zip(folder.iter().chain(name.as_bytes())).for_each(|(to, from)| *to = *from);
        Some(Self { bytes, length })
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Where a file's bytes are.
enum Contents {
    /// In the process's own memory: as many as the file has.
    Own(Vec<u8>),
    /// In a slot, which others have mapped.
    Mapped(Slot),
}

/// A file.
struct File {
    path: Path,
    /// The number that no other file ever has.
    serial: u64,
    /// The name space that made it.
    owner: usize,
    bytes: u64,
    contents: Contents,
}

/// What a slot is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Use {
    /// Nothing.
    #[default]
    Free,
    /// A file or an open file of the image, by its number.
    Of {
        number: u64,
        /// Another name space has it too: it can never be used for anything else.
        is_shared: bool,
    },
    /// Nothing any more.
    Spent,
}

/// The files.
pub struct Store<M> {
    /// The machine.
    pub machine: M,
    files: Vec<File>,
    slots: [[Use; MAPPED]; SPACES],
    /// The next number of a file, or of an open one.
    next: u64,
}

impl<M: Machine> Store<M> {
    /// No files.
    pub fn new(machine: M) -> Self {
        let files = Vec::with_capacity(SPACES * FILES);
        Self { machine, files, slots: Default::default(), next: 1 }
    }

    /// A number that was never given before.
    pub fn number(&mut self) -> u64 {
        let number = self.next;
        // Not used up: a thousand million a second take centuries.
        self.next = self.next.wrapping_add(1);
        number
    }

    /// Finds a file by its path.
    pub fn find(&self, path: &Path) -> Option<u64> {
        self.files.iter().find(|file| file.path == *path).map(|file| file.serial)
    }

    fn get(&self, serial: u64) -> Result<&File, Refusal> {
        self.files.iter().find(|file| file.serial == serial).ok_or(Refusal::NotOpen)
    }

    fn get_mut(&mut self, serial: u64) -> Result<&mut File, Refusal> {
        self.files.iter_mut().find(|file| file.serial == serial).ok_or(Refusal::NotOpen)
    }

    /// Makes an empty file.
    ///
    /// # Errors
    /// TooMany: of this name space.
    pub fn create(&mut self, path: Path, owner: usize) -> Result<u64, Refusal> {
        if self.files.iter().filter(|file| file.owner == owner).count() >= FILES {
            return Err(Refusal::TooMany);
        }
        let serial = self.number();
        let contents = Contents::Own(Vec::new());
        // There is room: it was made for all files that there may be.
        self.files.push(File { path, serial, owner, bytes: 0, contents });
        Ok(serial)
    }

    /// A file's size.
    ///
    /// # Errors
    /// NotOpen: there is no such file any more.
    pub fn bytes(&self, serial: u64) -> Result<u64, Refusal> {
        self.get(serial).map(|file| file.bytes)
    }

    /// Takes all that a file has. What is mapped stays so.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn truncate(&mut self, serial: u64) -> Result<(), Refusal> {
        let file = self.get_mut(serial)?;
        file.bytes = 0;
        if let Contents::Own(bytes) = &mut file.contents {
            *bytes = Vec::new();
        }
        Ok(())
    }

    /// Reads from a byte on. Returns how much there was.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn read(&self, serial: u64, first: u64, into: &mut [u8]) -> Result<usize, Refusal> {
        let file = self.get(serial)?;
        let left = usize::try_from(file.bytes.saturating_sub(first)).unwrap_or(0).min(into.len());
        let into = into.get_mut(..left).unwrap_or_default();
        // No file is longer than an address says.
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        Ok(match &file.contents {
            Contents::Own(bytes) => {
                let from = bytes.get(first..).unwrap_or_default();
                into.iter_mut().zip(from).map(|(to, from)| *to = *from).count()
            }
            Contents::Mapped(slot) => load(self.machine.mapped(*slot), first, into),
        })
    }

    /// Makes a file as long as it takes to write so many bytes from one on.
    ///
    /// # Errors
    /// NoRoom: it would be too long, its name space has too much, or another one made it. Failed: memory.
    pub fn make_room(&mut self, serial: u64, first: u64, bytes: u64, space: usize) -> Result<(), Refusal> {
        let file = self.get(serial)?;
        let (owner, before) = (file.owner, file.bytes);
        let end = if bytes == 0 { Some(before) } else { first.checked_add(bytes).map(|end| end.max(before)) };
        let end = end.filter(|end| *end <= FILE_BYTES).ok_or(Refusal::NoRoom)?;
        if end == before {
            return Ok(());
        }
        let used: u64 = self.files.iter().filter(|file| file.owner == owner).map(|file| file.bytes).sum();
        // By others it would take what its owner may have.
        if owner != space || used - before + end > BYTES {
            return Err(Refusal::NoRoom);
        }
        let file = self.get_mut(serial)?;
        match &mut file.contents {
            Contents::Own(own) => {
                own.try_reserve((end - before) as usize).map_err(|_| Refusal::Failed)?;
                own.resize(end as usize, 0);
            }
            Contents::Mapped(slot) => {
                // Whoever has it mapped may have written behind the file's end.
                let (slot, before) = (*slot, before as usize);
                let words = self.machine.mapped(slot);
                (before..end as usize).for_each(|at| store(words, at, &[0]));
            }
        }
        self.get_mut(serial)?.bytes = end;
        Ok(())
    }

    /// Writes bytes for which there is room.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn write(&mut self, serial: u64, first: u64, from: &[u8]) -> Result<(), Refusal> {
        let first = usize::try_from(first).map_err(|_| Refusal::NoRoom)?;
        match &mut self.get_mut(serial)?.contents {
            Contents::Own(own) => {
                let place = own.get_mut(first..).unwrap_or_default().iter_mut();
                place.zip(from).for_each(|(to, from)| *to = *from);
            }
            Contents::Mapped(slot) => {
                let slot = *slot;
                store(self.machine.mapped(slot), first, from);
            }
        }
        Ok(())
    }

    /// A slot of a name space's, cleared, for what has that number.
    fn take_slot(&mut self, space: usize, number: u64) -> Result<Slot, Refusal> {
        let slots = self.slots.get(space).ok_or(Refusal::Failed)?;
        let index = slots.iter().position(|slot| *slot == Use::Free).ok_or(Refusal::TooMany)?;
        let slot = Slot { space, index };
        if !self.machine.make(slot) {
            return Err(Refusal::Failed);
        }
        self.set_use(slot, Use::Of { number, is_shared: false });
        Ok(slot)
    }

    fn set_use(&mut self, slot: Slot, what: Use) {
        if let Some(place) = self.slots.get_mut(slot.space).and_then(|slots| slots.get_mut(slot.index)) {
            *place = what;
        }
    }

    /// Puts a file where a name space can map it, and returns where.
    ///
    /// # Errors
    /// TooMany: the name space has mapped as many. Failed: memory.
    pub fn map(&mut self, serial: u64, space: usize) -> Result<Slot, Refusal> {
        if let Contents::Mapped(slot) = self.get(serial)?.contents {
            if slot.space != space {
                self.set_use(slot, Use::Of { number: serial, is_shared: true });
            }
            return Ok(slot);
        }
        let slot = self.take_slot(space, serial)?;
        let file = self.files.iter_mut().find(|file| file.serial == serial).ok_or(Refusal::NotOpen)?;
        if let Contents::Own(own) = &file.contents {
            store(self.machine.mapped(slot), 0, own);
        }
        file.contents = Contents::Mapped(slot);
        Ok(slot)
    }

    /// Puts an open file of the image where its name space can map it, unless it is there.
    ///
    /// # Errors
    /// As [`map`](Self::map), and NoRoom: it is too long.
    pub fn map_image(&mut self, name: &[u8], number: u64, space: usize) -> Result<Slot, Refusal> {
        let slots = self.slots.get(space).ok_or(Refusal::Failed)?;
        let of = Use::Of { number, is_shared: false };
        if let Some(index) = slots.iter().position(|slot| *slot == of) {
            return Ok(Slot { space, index });
        }
        let bytes = self.machine.image_bytes(name).ok_or(Refusal::Failed)?;
        if bytes > FILE_BYTES {
            return Err(Refusal::NoRoom);
        }
        let slot = self.take_slot(space, number)?;
        let mut piece = [0; 1024];
        let mut done = 0;
        while done < bytes {
            let read = self.machine.image_read(name, done, &mut piece).filter(|read| *read > 0);
            let Some(read) = read.and_then(|read| piece.get(..read)) else {
                self.set_use(slot, Use::Free);
                return Err(Refusal::Failed);
            };
            store(self.machine.mapped(slot), done as usize, read);
            done += read.len() as u64;
        }
        Ok(slot)
    }

    /// An open file of the image is closed.
    pub fn close_image(&mut self, number: u64, space: usize) {
        let of = Use::Of { number, is_shared: false };
        let slots = self.slots.get_mut(space).into_iter().flatten();
        slots.filter(|slot| **slot == of).for_each(|slot| *slot = Use::Free);
    }

    /// Removes a file.
    ///
    /// # Errors
    /// NotFound.
    pub fn remove(&mut self, path: &Path) -> Result<(), Refusal> {
        let index = self.files.iter().position(|file| file.path == *path).ok_or(Refusal::NotFound)?;
        let file = self.files.swap_remove(index);
        if let Contents::Mapped(slot) = file.contents {
            // What another name space has mapped it keeps, and would see what is put there next.
            let is_own = Use::Of { number: file.serial, is_shared: false };
            let place = self.slots.get(slot.space).and_then(|slots| slots.get(slot.index));
            let next = if place == Some(&is_own) { Use::Free } else { Use::Spent };
            self.set_use(slot, next);
        }
        Ok(())
    }
}
