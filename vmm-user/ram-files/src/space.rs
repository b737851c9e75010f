//! Name spaces, what each has open, and requests carried out.

use alloc::vec::Vec;

use file_link::serve::Serve;
use file_link::{Done, Mode, Name, Piece, Refusal, Reply, Request};
use runtime::abi::operation::Handle;

use crate::contents::{load, store_whole};
use crate::limits::{FOLDER, OPEN};
use crate::machine::Machine;
use crate::store::{Path, Store};

/// Where the files of the image are.
pub const IMAGE: &[u8] = b"boot/";
/// How much is copied in one go.
const CHUNK: usize = 1024;

/// What a client may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// The key of its channel.
    pub key: u64,
    /// Whether it may write.
    pub is_written: bool,
    /// All names begin with it: nothing, or a name that ends with `/`.
    pub folder: Vec<u8>,
}

impl Space {
    /// Reads a setting: `space.KEY`, and `r` or `rw` with a folder behind it. Nothing for other settings; a
    /// name space that makes no sense is `Some(None)`.
    pub fn parse(key: &str, value: &str) -> Option<Option<Self>> {
        let key = key.strip_prefix("space.")?;
        let (access, folder) = value.split_once(' ').unwrap_or((value, ""));
        let is_written = match access {
            "r" => false,
            "rw" => true,
            _ => return Some(None),
        };
        let is_folder =
            folder.is_empty() || (folder.ends_with('/') && Name::new(folder.as_bytes()).is_some());
        let space = key.parse().ok().map(|key| Self { key, is_written, folder: folder.into() });
        Some(space.filter(|_| is_folder && folder.len() <= FOLDER))
    }
}

/// What is open.
#[derive(Clone, Copy, Debug)]
enum What {
    /// A file in memory, by its number.
    Own(u64),
    /// A file of the image.
    Image(Path),
}

/// An open file.
#[derive(Clone, Copy, Debug)]
struct Open {
    number: u64,
    what: What,
    is_written: bool,
}

/// A name space and its client.
struct Client {
    space: Space,
    is_connected: bool,
    open: [Option<Open>; OPEN],
}

/// All of it.
pub struct Server<M> {
    clients: Vec<Client>,
    store: Store<M>,
}

impl<M: Machine> Server<M> {
    /// A server of these name spaces, without files but those of the image.
    pub fn new(machine: M, spaces: Vec<Space>) -> Self {
        let client = |space| Client { space, is_connected: false, open: [None; OPEN] };
        Self { clients: spaces.into_iter().map(client).collect(), store: Store::new(machine) }
    }

    /// The machine.
    pub fn machine(&mut self) -> &mut M {
        &mut self.store.machine
    }
}

impl<M: Machine> Serve for Server<M> {
    fn serve(&mut self, key: u64, request: Request, memory: Handle) -> (Reply, Handle) {
        let known = self.clients.iter_mut().enumerate().find(|(_, client)| client.space.key == key);
        // A channel that is no name space.
        let Some((space, client)) = known else { return (Err(Refusal::NotAllowed), 0) };
        let mut session = Session { space, client, store: &mut self.store };
        match session.carry_out(request, memory) {
            Ok((done, handle)) => (Ok(done), handle),
            Err(refusal) => (Err(refusal), 0),
        }
    }
}

/// A request of one client.
struct Session<'a, M> {
    space: usize,
    client: &'a mut Client,
    store: &'a mut Store<M>,
}

impl<M: Machine> Session<'_, M> {
    fn carry_out(&mut self, request: Request, memory: Handle) -> Result<(Done, Handle), Refusal> {
        if request == Request::Connect {
            return self.connect(memory).map(|done| (done, 0));
        }
        if !self.client.is_connected {
            return Err(Refusal::NotConnected);
        }
        let value = |value| Done { value, bytes: 0 };
        let done = match request {
            Request::Connect => Done::default(),
            Request::Open { name, mode } => self.open(&name, mode)?,
            Request::Read { file, piece } => value(self.read(file, piece)?),
            Request::Write { file, piece } => value(self.write(file, piece)?),
            Request::Map { file, is_written } => {
                return self.map(file, is_written).map(|(bytes, handle)| (value(bytes), handle));
            }
            Request::Close { file } => self.close(file)?,
            Request::Remove { name } => self.remove(&name)?,
        };
        Ok((done, 0))
    }

    fn connect(&mut self, memory: Handle) -> Result<Done, Refusal> {
        // What a client before this one had open is not this one's.
        for open in core::mem::take(&mut self.client.open).into_iter().flatten() {
            self.store.close_image(open.number, self.space);
        }
        self.client.is_connected = self.store.machine.connect(self.space, memory);
        let done = Done { value: u64::from(self.client.space.is_written), bytes: 0 };
        if self.client.is_connected { Ok(done) } else { Err(Refusal::Wrong) }
    }

    fn path(&self, name: &Name) -> Result<Path, Refusal> {
        Path::new(&self.client.space.folder, name).ok_or(Refusal::Wrong)
    }

    fn open(&mut self, name: &Name, mode: Mode) -> Result<Done, Refusal> {
        let (path, is_written) = (self.path(name)?, !mode.is_empty());
        let is_image = path.as_bytes().starts_with(IMAGE);
        if is_written && (is_image || !self.client.space.is_written) {
            return Err(Refusal::NotAllowed);
        }
        // Before anything is made that could not be opened.
        let free = self.client.open.iter().position(Option::is_none).ok_or(Refusal::TooMany)?;
        let (what, bytes) = if is_image {
            let bytes = self.store.machine.image_bytes(image_name(&path)).ok_or(Refusal::NotFound)?;
            (What::Image(path), bytes)
        } else {
            let serial = match self.store.find(&path) {
                Some(serial) => serial,
                None if mode.contains(Mode::CREATE) => self.store.create(path, self.space)?,
                None => return Err(Refusal::NotFound),
            };
            if mode.contains(Mode::TRUNCATE) {
                self.store.truncate(serial)?;
            }
            (What::Own(serial), self.store.bytes(serial)?)
        };
        let number = self.store.number();
        if let Some(place) = self.client.open.get_mut(free) {
            *place = Some(Open { number, what, is_written });
        }
        Ok(Done { value: number, bytes })
    }

    fn find(&self, number: u64) -> Result<Open, Refusal> {
        let mut open = self.client.open.iter().flatten();
        open.find(|open| open.number == number).copied().ok_or(Refusal::NotOpen)
    }

    fn read(&mut self, file: u64, piece: Piece) -> Result<u64, Refusal> {
        let open = self.find(file)?;
        // All of what is wanted has its place, whether the file has as much or not.
        piece.words(self.store.machine.memory(self.space).len()).ok_or(Refusal::Wrong)?;
        let mut chunk = [0; CHUNK];
        let mut done = 0;
        while done < piece.bytes {
            let want = chunk.get_mut(..CHUNK.min((piece.bytes - done) as usize)).unwrap_or_default();
            let Some(first) = piece.first.checked_add(done) else { break };
            let read = match &open.what {
                What::Own(serial) => self.store.read(*serial, first, want)?,
                What::Image(path) => {
                    self.store.machine.image_read(image_name(path), first, want).ok_or(Refusal::Failed)?
                }
            };
            let Some(read) = want.get(..read).filter(|read| !read.is_empty()) else { break };
            let place = ((piece.offset + done) / 8) as usize;
            store_whole(self.store.machine.memory(self.space).get(place..).unwrap_or_default(), read);
            done += read.len() as u64;
            if read.len() < CHUNK {
                break;
            }
        }
        // A file that was removed is not one that is empty.
        if let What::Own(serial) = open.what {
            self.store.bytes(serial)?;
        }
        Ok(done)
    }

    fn write(&mut self, file: u64, piece: Piece) -> Result<u64, Refusal> {
        let Open { what, is_written, .. } = self.find(file)?;
        let What::Own(serial) = what else { return Err(Refusal::NotAllowed) };
        if !is_written {
            return Err(Refusal::NotAllowed);
        }
        piece.words(self.store.machine.memory(self.space).len()).ok_or(Refusal::Wrong)?;
        self.store.make_room(serial, piece.first, piece.bytes, self.space)?;
        let mut chunk = [0; CHUNK];
        for done in (0..piece.bytes).step_by(CHUNK) {
            let want = chunk.get_mut(..CHUNK.min((piece.bytes - done) as usize)).unwrap_or_default();
            load(self.store.machine.memory(self.space), (piece.offset + done) as usize, want);
            self.store.write(serial, piece.first + done, want)?;
        }
        Ok(piece.bytes)
    }

    /// Returns the file's size and the memory's handle.
    fn map(&mut self, file: u64, is_written: bool) -> Result<(u64, Handle), Refusal> {
        let open = self.find(file)?;
        if is_written && !open.is_written {
            return Err(Refusal::NotAllowed);
        }
        let (slot, bytes) = match &open.what {
            What::Own(serial) => (self.store.map(*serial, self.space)?, self.store.bytes(*serial)?),
            What::Image(path) => {
                let slot = self.store.map_image(image_name(path), open.number, self.space)?;
                (slot, self.store.machine.image_bytes(image_name(path)).ok_or(Refusal::Failed)?)
            }
        };
        Ok((bytes, self.store.machine.handle(slot, is_written)))
    }

    fn close(&mut self, file: u64) -> Result<Done, Refusal> {
        let is_it = |open: &&mut Option<Open>| open.is_some_and(|open| open.number == file);
        let place = self.client.open.iter_mut().find(is_it).ok_or(Refusal::NotOpen)?;
        *place = None;
        self.store.close_image(file, self.space);
        Ok(Done::default())
    }

    fn remove(&mut self, name: &Name) -> Result<Done, Refusal> {
        let path = self.path(name)?;
        if !self.client.space.is_written || path.as_bytes().starts_with(IMAGE) {
            return Err(Refusal::NotAllowed);
        }
        self.store.remove(&path).map(|()| Done::default())
    }
}

/// The name that a file of the image has there.
fn image_name(path: &Path) -> &[u8] {
    path.as_bytes().strip_prefix(IMAGE).unwrap_or_default()
}

#[cfg(test)]
mod tests;
