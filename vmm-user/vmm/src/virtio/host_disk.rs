//! A disk of the host's, by the channel to the process that drives it (`block_link`).
//!
//! That process may end at any time, and init starts another one: what was asked of it is asked of the next
//! one again. Reads, writes and flushes may be done twice, and what an earlier process had written is in the
//! device, whose next flush has it too. When nobody does it in time, or the disk itself fails, the request
//! fails. Nothing that a server says is believed beyond what a disk may say: the data are whatever they are.

use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering};

use block_link::client::{Client, Failure};
use block_link::{Abilities, Refusal, SECTOR_BYTES, Sectors};
use devices::disk::{BUFFER_BYTES, Disk, DiskError};
use runtime::abi::status::Status;
use runtime::channel::Channel;
use runtime::event::Event;
use runtime::syscall;

/// How long a request is repeated, and how long a disk is waited for at the start, in seconds.
const LIMIT_SECONDS: u64 = 120;
/// How often a request may fail for which there was a server.
const FAILURES_MAX: u32 = 5;
/// Between two attempts, so that others run: in parts of a second.
const PAUSES_SECOND: u64 = 1000;

/// What serves a disk; in tests something else than a client.
pub trait Server: Send {
    /// Introduces itself to the next server.
    fn connect(&self, deadline_tsc: u64) -> Result<block_link::Disk, Failure>;
    /// Carries out a request; the data are at the start of the memory.
    fn send(&self, request: Wanted, deadline_tsc: u64) -> Result<(), Failure>;
    /// The memory that is shared with it.
    fn memory(&self) -> &[AtomicU64];
    /// The time.
    fn now_tsc(&self) -> u64;
    /// Lets others run for a while.
    fn pause(&self, until_tsc: u64);
}

/// What is asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Sectors are read.
    Read(Sectors),
    /// Sectors are written.
    Write(Sectors),
    /// All that was written is to be kept.
    Flush,
    /// Sectors are not needed any more.
    Discard(Sectors),
}

/// A server behind a channel.
pub struct Remote {
    client: Client,
    /// Nobody signals it.
    nothing: Event,
}

impl Server for Remote {
    fn connect(&self, deadline_tsc: u64) -> Result<block_link::Disk, Failure> {
        self.client.connect(deadline_tsc)
    }

    fn send(&self, request: Wanted, deadline_tsc: u64) -> Result<(), Failure> {
        match request {
            Wanted::Read(sectors) => self.client.read(sectors, 0, deadline_tsc),
            Wanted::Write(sectors) => self.client.write(sectors, 0, deadline_tsc),
            Wanted::Flush => self.client.flush(deadline_tsc),
            Wanted::Discard(sectors) => self.client.discard(sectors, deadline_tsc),
        }
    }

    fn memory(&self) -> &[AtomicU64] {
        self.client.memory()
    }

    fn now_tsc(&self) -> u64 {
        syscall::tsc()
    }

    fn pause(&self, until_tsc: u64) {
        // It always comes to its end by time.
        let _ = self.nothing.wait_until(until_tsc);
    }
}

/// A disk of the host's.
pub struct HostDisk<S> {
    server: S,
    capacity: u64,
    abilities: Abilities,
    /// TSC ticks of a second.
    tsc_hz: u64,
    /// It is not asked any more.
    is_lost: bool,
}

impl HostDisk<Remote> {
    /// Connects to the server behind a channel, as soon as there is one.
    ///
    /// # Errors
    /// When there is none in time, or its disk is none.
    pub fn open(channel: Channel, tsc_hz: u64) -> Result<Self, String> {
        let client = Client::new(channel, BUFFER_BYTES as u64);
        let made = client.and_then(|client| Ok(Remote { client, nothing: Event::try_new()? }));
        let server = made.map_err(|status| format!("memory for the host's disk: {status}"))?;
        Self::of(server, tsc_hz)
    }
}

impl<S: Server> HostDisk<S> {
    fn of(server: S, tsc_hz: u64) -> Result<Self, String> {
        let (capacity, abilities) = (0, Abilities::empty());
        let mut disk = Self { server, capacity, abilities, tsc_hz, is_lost: false };
        let deadline = disk.deadline();
        let found = disk.connect(deadline).map_err(|failure| format!("the host's disk: {failure:?}"))?;
        // Byte offsets have 64 bits.
        if found.capacity == 0 || found.capacity.checked_mul(SECTOR_BYTES).is_none() {
            return Err(format!("the host's disk has {} sectors", found.capacity));
        }
        (disk.capacity, disk.abilities) = (found.capacity, found.abilities);
        Ok(disk)
    }

    fn deadline(&self) -> u64 {
        self.server.now_tsc().saturating_add(self.tsc_hz.saturating_mul(LIMIT_SECONDS))
    }

    fn pause(&self) {
        self.server.pause(self.server.now_tsc().saturating_add(self.tsc_hz / PAUSES_SECOND));
    }

    /// Connects to a server, for as long as there is none, or one that is about to end.
    fn connect(&self, deadline: u64) -> Result<block_link::Disk, Failure> {
        loop {
            match self.server.connect(deadline) {
                Err(Failure::Gone(Status::Disconnected) | Failure::Refused(_))
                    if self.server.now_tsc() < deadline =>
                {
                    self.pause();
                }
                connected => return connected,
            }
        }
    }

    /// Asks for something until it is done, or will not be.
    fn persist(&mut self, request: Wanted) -> Result<(), DiskError> {
        if self.is_lost {
            return Err(DiskError);
        }
        let deadline = self.deadline();
        let mut failures = 0;
        loop {
            let failure = match self.server.send(request, deadline) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            match failure {
                // A driver says so that is about to end, because of the device or of itself; and one whose
                // disk fails, which it will do again.
                Failure::Refused(Refusal::Failed) if failures < FAILURES_MAX => failures += 1,
                Failure::Refused(Refusal::NotConnected) | Failure::Gone(Status::Disconnected) => {}
                Failure::Refused(_) => return Err(DiskError),
                // A server that is late may still write the shared memory: nothing is put there any more.
                Failure::Gone(status) => return self.lose(format_args!("its server: {status}")),
            }
            self.pause();
            if self.server.now_tsc() >= deadline {
                return self.lose(format_args!("nobody serves it"));
            }
            match self.connect(deadline) {
                Ok(disk) if disk.capacity < self.capacity => {
                    // The guest was told of all sectors, and its file system lies on them: this is another
                    // disk.
                    return self.lose(format_args!("it has {} sectors now", disk.capacity));
                }
                Ok(_) => {}
                Err(failure) => return self.lose(format_args!("{failure:?}")),
            }
        }
    }

    fn lose(&mut self, why: core::fmt::Arguments<'_>) -> Result<(), DiskError> {
        log::error!("the host's disk is lost: {why}");
        self.is_lost = true;
        Err(DiskError)
    }

    /// Whole sectors of the disk, from a byte offset on.
    fn sectors(&self, offset: u64, bytes: u64) -> Sectors {
        Sectors { first: offset / SECTOR_BYTES, count: bytes / SECTOR_BYTES }
    }

    /// Zeroes whole pieces of the shared memory and writes them.
    fn write_zero_piece(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        let words = self.server.memory().iter().take((bytes / 8) as usize);
        words.for_each(|word| word.store(0, Ordering::Relaxed));
        self.persist(Wanted::Write(self.sectors(offset, bytes)))
    }
}

/// The caller keeps to whole sectors, to the disk's, and to [`BUFFER_BYTES`]. The data are copied to and from
/// the shared memory, which the server may change at any time: nothing is decided by what is there.
impl<S: Server> Disk for HostDisk<S> {
    fn bytes(&self) -> u64 {
        self.capacity.saturating_mul(SECTOR_BYTES)
    }

    fn is_read_only(&self) -> bool {
        !self.abilities.contains(Abilities::WRITE)
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        // The loop below ends with the shorter of both: the rest would come back as it was.
        if bytes.len() > size_of_val(self.server.memory()) {
            return Err(DiskError);
        }
        self.persist(Wanted::Read(self.sectors(offset, bytes.len() as u64)))?;
        for (to, from) in bytes.chunks_exact_mut(8).zip(self.server.memory()) {
            to.copy_from_slice(&from.load(Ordering::Relaxed).to_le_bytes());
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        // A server that was late may still write there.
        if self.is_lost || bytes.len() > size_of_val(self.server.memory()) {
            return Err(DiskError);
        }
        for (from, to) in bytes.chunks_exact(8).zip(self.server.memory()) {
            to.store(from.first_chunk().copied().map_or(0, u64::from_le_bytes), Ordering::Relaxed);
        }
        self.persist(Wanted::Write(self.sectors(offset, bytes.len() as u64)))
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.persist(Wanted::Flush)
    }

    fn discard(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        // It is advice; a disk that takes none keeps what it has.
        if !self.abilities.contains(Abilities::DISCARD) {
            return Ok(());
        }
        self.persist(Wanted::Discard(self.sectors(offset, bytes)))
    }

    fn write_zeroes(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        let most = size_of_val(self.server.memory()) as u64;
        let mut done = 0;
        while done < bytes && most > 0 {
            let piece = (bytes - done).min(most);
            self.write_zero_piece(offset.saturating_add(done), piece)?;
            done += piece;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
