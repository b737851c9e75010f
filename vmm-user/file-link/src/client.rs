//! A client of a name space: what it reads and writes goes through memory that it shares with the server,
//! which may say anything, and change that memory at any time.

use core::sync::atomic::{AtomicU64, Ordering};

use runtime::abi::message::Message;
use runtime::abi::operation::{HANDLE_SELF, Handle, HandleClose, Permissions};
use runtime::abi::status::Status;
use runtime::call;
use runtime::channel::Channel;
use runtime::shared::{SharedMapping, SharedMemory};

use crate::{Done, MEMORY_MAX, Mode, Name, Piece, Refusal, Request, Words, reply_from_words};

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server did not answer: it has ended, or takes too long.
    Gone(Status),
    /// It says why not.
    Refused(Refusal),
    /// What it says cannot be.
    Nonsense,
}

/// A file that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its number in the name space.
    pub number: u64,
    /// Its size in bytes when it was opened.
    pub bytes: u64,
}

/// What comes back: the words and handles of a reply.
pub type Returned = (Words, [Handle; 4]);

/// How a client talks to a server; another one in tests.
pub trait Call {
    /// Sends a request, with a handle or 0. Returns the reply's words and handles.
    ///
    /// # Errors
    /// The kernel's: there is no reply.
    fn call(&mut self, request: Request, handle: Handle) -> Result<Returned, Status>;
    /// The memory that is shared.
    fn memory(&self) -> &[AtomicU64];
    /// Lets go of a handle that a reply had.
    fn close(&mut self, handle: Handle);
}

/// The way to a server: its channel.
pub struct Link {
    channel: Channel,
    shared: SharedMemory,
    memory: SharedMapping,
    /// Until when a reply is waited for.
    pub deadline_tsc: u64,
}

impl Call for Link {
    fn call(&mut self, request: Request, handle: Handle) -> Result<Returned, Status> {
        let words = request.to_words();
        let handles = [handle, 0, 0, 0];
        let mut message = Message { deadline_tsc: self.deadline_tsc, handles, words, ..Message::default() };
        self.channel.call(&mut message)?;
        Ok((message.words, message.handles))
    }

    fn memory(&self) -> &[AtomicU64] {
        self.memory.words()
    }

    fn close(&mut self, handle: Handle) {
        let _ = call(HANDLE_SELF, HandleClose { handle, reserved: 0 });
    }
}

/// A name space.
pub struct Client<C> {
    /// The way to its server.
    pub way: C,
}

impl Client<Link> {
    /// The name space of a channel, with so much memory for what is read and written, in whole pages: at most
    /// [`MEMORY_MAX`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(channel: Channel, bytes: u64) -> Result<Self, Status> {
        let shared = SharedMemory::try_new(bytes.min(MEMORY_MAX))?;
        let memory = shared.map(Permissions::READ | Permissions::WRITE)?;
        Ok(Self { way: Link { channel, shared, memory, deadline_tsc: u64::MAX } })
    }

    /// Introduces itself to the server, at the beginning and whenever another one serves. Every file that was
    /// open is closed. Returns whether files may be written.
    ///
    /// # Errors
    /// The server's, or that there is none.
    pub fn connect(&mut self) -> Result<bool, Failure> {
        let handle = self.way.shared.0;
        self.send(Request::Connect, handle).map(|done| done.value == 1)
    }
}

impl<C: Call> Client<C> {
    /// Opens a file.
    ///
    /// # Errors
    /// The server's. [`Refusal::Wrong`]: it is no name.
    pub fn open(&mut self, name: &str, mode: Mode) -> Result<File, Failure> {
        let done = self.send(Request::Open { name: as_name(name)?, mode }, 0)?;
        Ok(File { number: done.value, bytes: done.bytes })
    }

    /// Reads from a byte of the file on. Returns how much there was, and so less than wanted at its end.
    ///
    /// # Errors
    /// The server's; what was read before stays.
    pub fn read(&mut self, file: File, first: u64, into: &mut [u8]) -> Result<usize, Failure> {
        let most = size_of_val(self.way.memory()).max(8);
        let mut done = 0;
        for part in into.chunks_mut(most) {
            let piece = piece(first, done, part.len())?;
            let reply = self.send(Request::Read { file: file.number, piece }, 0)?;
            // As many bytes as were asked for at most: else what follows would be of something else.
            let bytes = usize::try_from(reply.value).ok().filter(|bytes| *bytes <= part.len());
            let bytes = bytes.ok_or(Failure::Nonsense)?;
            // Each word is loaded once.
            for (to, word) in part.get_mut(..bytes).unwrap_or_default().chunks_mut(8).zip(self.way.memory()) {
                let word = word.load(Ordering::Relaxed).to_le_bytes();
                to.iter_mut().zip(word).for_each(|(to, from)| *to = from);
            }
            done += bytes;
            if bytes < part.len() {
                break;
            }
        }
        Ok(done)
    }

    /// Writes from a byte of the file on; it gets longer if that is needed.
    ///
    /// # Errors
    /// The server's; of a long piece some may have been written.
    pub fn write(&mut self, file: File, first: u64, from: &[u8]) -> Result<(), Failure> {
        let most = size_of_val(self.way.memory()).max(8);
        for (index, part) in from.chunks(most).enumerate() {
            let piece = piece(first, index * most, part.len())?;
            for (word, from) in self.way.memory().iter().zip(part.chunks(8)) {
                let mut bytes = [0; 8];
                bytes.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
            }
            let reply = self.send(Request::Write { file: file.number, piece }, 0)?;
            if reply.value != piece.bytes {
                return Err(Failure::Nonsense);
            }
        }
        Ok(())
    }

    /// Closes a file.
    ///
    /// # Errors
    /// The server's.
    pub fn close(&mut self, file: File) -> Result<(), Failure> {
        self.send(Request::Close { file: file.number }, 0).map(drop)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn remove(&mut self, name: &str) -> Result<(), Failure> {
        self.send(Request::Remove { name: as_name(name)? }, 0).map(drop)
    }

    /// The file as shared memory: a handle, and the file's size. How much memory that is the kernel says
    /// (`SharedMemory::bytes`), and nobody else is to be believed.
    ///
    /// # Errors
    /// The server's.
    pub fn map(&mut self, file: File, is_written: bool) -> Result<(SharedMemory, u64), Failure> {
        let (words, handles) =
            self.way.call(Request::Map { file: file.number, is_written }, 0).map_err(Failure::Gone)?;
        let reply = reply_from_words(&words);
        match (reply, handles) {
            (Ok(done), [memory, 0, 0, 0]) if memory != 0 => Ok((SharedMemory(memory), done.value)),
            (reply, handles) => {
                self.close_all(handles);
                Err(reply.err().map_or(Failure::Nonsense, Failure::Refused))
            }
        }
    }

    fn close_all(&mut self, handles: [Handle; 4]) {
        handles.into_iter().filter(|handle| *handle != 0).for_each(|handle| self.way.close(handle));
    }

    fn send(&mut self, request: Request, handle: Handle) -> Result<Done, Failure> {
        let (words, handles) = self.way.call(request, handle).map_err(Failure::Gone)?;
        // Handles were not asked for.
        self.close_all(handles);
        reply_from_words(&words).map_err(Failure::Refused)
    }
}

fn as_name(name: &str) -> Result<Name, Failure> {
    Name::new(name.as_bytes()).ok_or(Failure::Refused(Refusal::Wrong))
}

/// A piece whose data are at the memory's start.
fn piece(first: u64, done: usize, bytes: usize) -> Result<Piece, Failure> {
    let first = first.checked_add(done as u64).ok_or(Failure::Refused(Refusal::NoRoom))?;
    Ok(Piece { first, bytes: bytes as u64, offset: 0 })
}

#[cfg(test)]
mod tests;
