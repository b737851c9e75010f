//! A client of a disk: its data are in memory that it shares with the server.

use core::sync::atomic::AtomicU64;

use runtime::abi::message::Message;
use runtime::abi::operation::{HANDLE_SELF, HandleClose, Permissions};
use runtime::abi::status::Status;
use runtime::call;
use runtime::channel::Channel;
use runtime::shared::{SharedMapping, SharedMemory};

use crate::{Disk, Refusal, Request, Sectors, reply_from_words};

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server did not answer: it has ended, or takes too long.
    Gone(Status),
    /// It says why not.
    Refused(Refusal),
}

/// A disk, by the channel to its server.
pub struct Client {
    channel: Channel,
    shared: SharedMemory,
    memory: SharedMapping,
}

impl Client {
    /// A client with memory for so many bytes of data, in whole pages.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(channel: Channel, bytes: u64) -> Result<Self, Status> {
        let shared = SharedMemory::try_new(bytes)?;
        // Mapped once, and passed to each server by its handle: the data stay where they are when one ends.
        let memory = shared.map(Permissions::READ | Permissions::WRITE)?;
        Ok(Self { channel, shared, memory })
    }

    /// The memory, as words. The server may change it at any time.
    pub fn memory(&self) -> &[AtomicU64] {
        self.memory.words()
    }

    /// Introduces itself to the server, at the beginning and whenever another one serves: when a request
    /// failed by `Gone`, or is refused by `NotConnected`.
    ///
    /// # Errors
    /// The server's, or that there is none.
    pub fn connect(&self, deadline_tsc: u64) -> Result<Disk, Failure> {
        self.send(Request::Connect, self.shared.0, deadline_tsc)
    }

    /// Reads sectors into the memory, from a byte offset on.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn read(&self, sectors: Sectors, offset: u64, deadline_tsc: u64) -> Result<(), Failure> {
        self.send(Request::Read { sectors, offset }, 0, deadline_tsc).map(drop)
    }

    /// Writes sectors from the memory.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn write(&self, sectors: Sectors, offset: u64, deadline_tsc: u64) -> Result<(), Failure> {
        self.send(Request::Write { sectors, offset }, 0, deadline_tsc).map(drop)
    }

    /// Has all that was written be on the disk.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn flush(&self, deadline_tsc: u64) -> Result<(), Failure> {
        self.send(Request::Flush, 0, deadline_tsc).map(drop)
    }

    /// Says that sectors are not needed any more.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn discard(&self, sectors: Sectors, deadline_tsc: u64) -> Result<(), Failure> {
        self.send(Request::Discard(sectors), 0, deadline_tsc).map(drop)
    }

    fn send(&self, request: Request, handle: u32, deadline_tsc: u64) -> Result<Disk, Failure> {
        let words = request.to_words();
        let mut message = Message { deadline_tsc, handles: [handle, 0, 0, 0], words, ..Message::default() };
        // A reply that is late as well: whether it was done is not known then, and the caller repeats it.
        self.channel.call(&mut message).map_err(Failure::Gone)?;
        // Handles were not asked for.
        for handle in message.handles.into_iter().filter(|handle| *handle != 0) {
            let _ = call(HANDLE_SELF, HandleClose { handle, reserved: 0 });
        }
        reply_from_words(&message.words).map_err(Failure::Refused)
    }
}
