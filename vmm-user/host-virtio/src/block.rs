//! A block device (virtio 1.2, 5.2), one request at a time, its data by way of memory that is shared with it.

use core::sync::atomic::AtomicU64;

use bitflags::bitflags;
pub use devices::disk::SECTOR_BYTES;
use runtime::event::Event;
use runtime::host_function::{DeviceMemory, HostFunction};
use runtime::syscall;
use virtio_devices::blk::spec::{feature, kind};

use crate::DriverError;
use crate::queue::{self, Buffer, Queue};
use crate::transport::Transport;

/// The most sectors of a request.
pub const SECTORS_MAX: u64 = DATA_BYTES / SECTOR_BYTES;
/// Memory for the data of a request: what is allocated in one piece.
const DATA_BYTES: u64 = 64 * 1024;

bitflags! {
    /// Features of the device that the driver knows (5.2.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u64 {
        /// It may only be read.
        const READ_ONLY = feature::READ_ONLY;
        /// It keeps what was written in a cache until it is told to flush it.
        const FLUSH = feature::FLUSH;
        /// It may be told that sectors are not needed any more.
        const DISCARD = 1 << 13;
    }
}

/// What a request asks for (5.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Kind {
    Read = kind::IN,
    Write = kind::OUT,
    Flush = kind::FLUSH,
    Discard = kind::DISCARD,
}

/// Where the parts of a request are in the control page, behind the queue.
const HEADER: u64 = 0;
const HEADER_BYTES: u32 = 16;
const STATUS: u64 = 16;
const SEGMENT: u64 = 32;
const SEGMENT_BYTES: u32 = 16;
const CONTROL_BYTES: u64 = 4096;

/// How a request ended that the device has done something with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Done,
    /// Not: the host says that it failed, or that it does not do such things.
    Failed,
}

/// A disk of the host's.
pub struct Disk {
    transport: Transport,
    queue: Queue,
    control: DeviceMemory,
    data: DeviceMemory,
    done: Event,
    /// TSC ticks that a request may take.
    pub request_ticks: u64,
    /// How many sectors it says to have.
    pub capacity: u64,
    /// What it can do.
    pub features: Features,
}

impl Disk {
    /// Starts a device. `ticks_second`: TSC ticks of a second; a request may take so many `seconds`.
    ///
    /// # Errors
    /// What it lacks, or what went wrong.
    pub fn start(function: HostFunction, ticks_second: u64, seconds: u64) -> Result<Self, DriverError> {
        let transport = Transport::open(function)?;
        transport.reset(syscall::tsc().saturating_add(ticks_second))?;
        let known = Features::all().bits();
        let features = Features::from_bits_truncate(transport.negotiate(known)?);
        let capacity = transport.read_u64(0)?;
        // Not before the reset: a queue of an earlier driver's must not be written to any more.
        function.enable(true)?;
        let queue = Queue::new(function.allocate(queue::BYTES)?, transport.queue_size(0))?;
        let done = Event::try_new()?;
        function.bind(0, done)?;
        transport.start_queue(0, &queue, 0)?;
        // Last: from here on the device may use what it was told of (3.1.1).
        transport.ready();
        Ok(Self {
            transport,
            queue,
            control: function.allocate(CONTROL_BYTES)?,
            data: function.allocate(DATA_BYTES)?,
            done,
            request_ticks: ticks_second.saturating_mul(seconds),
            capacity,
            features,
        })
    }

    /// Reads sectors, at most [`SECTORS_MAX`] of them: as many as `words` are.
    ///
    /// # Errors
    /// The device cannot be driven any more.
    pub fn read(&mut self, sector: u64, words: &[AtomicU64]) -> Result<Outcome, DriverError> {
        let bytes = size_of_val(words) as u64;
        let data = Buffer { physical: self.data.physical, bytes: bytes as u32, is_written: true };
        let outcome = self.request(Kind::Read, sector, bytes, Some(data))?;
        // Only then: after a failure the memory still holds the data of an earlier request.
        if outcome == Outcome::Done && !self.data.window.copy_out(0, words) {
            return Ok(Outcome::Failed);
        }
        Ok(outcome)
    }

    /// Writes sectors, the same way.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn write(&mut self, sector: u64, words: &[AtomicU64]) -> Result<Outcome, DriverError> {
        let bytes = size_of_val(words) as u64;
        if self.features.contains(Features::READ_ONLY) || !self.data.window.copy_in(0, words) {
            return Ok(Outcome::Failed);
        }
        let data = Buffer { physical: self.data.physical, bytes: bytes as u32, is_written: false };
        self.request(Kind::Write, sector, bytes, Some(data))
    }

    /// Has all that was written reach the disk.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn flush(&mut self) -> Result<Outcome, DriverError> {
        // Without the feature it writes through (5.2.5.2).
        if !self.features.contains(Features::FLUSH) {
            return Ok(Outcome::Done);
        }
        self.request(Kind::Flush, 0, 0, None)
    }

    /// Says that sectors are not needed any more.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn discard(&mut self, sector: u64, sectors: u32) -> Result<Outcome, DriverError> {
        let is_allowed =
            self.features.contains(Features::DISCARD) && !self.features.contains(Features::READ_ONLY);
        if !is_allowed {
            return Ok(Outcome::Failed);
        }
        self.control.window.write_u64(SEGMENT, sector);
        self.control.window.write_u64(SEGMENT + 8, u64::from(sectors));
        let physical = self.control.physical + SEGMENT;
        let segment = Buffer { physical, bytes: SEGMENT_BYTES, is_written: false };
        self.request(Kind::Discard, 0, 0, Some(segment))
    }

    fn request(
        &mut self,
        kind: Kind,
        sector: u64,
        bytes: u64,
        data: Option<Buffer>,
    ) -> Result<Outcome, DriverError> {
        // Checked here as well: what lies beyond the end is not the device's to judge.
        let end =
            bytes.checked_next_multiple_of(SECTOR_BYTES).and_then(|b| sector.checked_add(b / SECTOR_BYTES));
        if bytes > DATA_BYTES
            || !bytes.is_multiple_of(SECTOR_BYTES)
            || end.is_none_or(|end| end > self.capacity)
        {
            return Ok(Outcome::Failed);
        }
        let control = &self.control;
        control.window.write_u64(HEADER, u64::from(kind as u32));
        control.window.write_u64(HEADER + 8, sector);
        // No status has this value, so that one which the device has not written can't pass for success.
        control.window.write_u8(STATUS, u8::MAX);
        let header = Buffer { physical: control.physical + HEADER, bytes: HEADER_BYTES, is_written: false };
        let status = Buffer { physical: control.physical + STATUS, bytes: 1, is_written: true };
        let chain = match data {
            Some(data) => self.queue.submit(&[header, data, status]),
            None => self.queue.submit(&[header, status]),
        };
        let chain = chain.ok_or(DriverError::Nonsense)?;
        self.transport.notify(0);
        self.wait(chain)?;
        match self.control.window.read_u8(STATUS) {
            0 => Ok(Outcome::Done),
            // It failed, or it does not know such a request (5.2.6).
            1 | 2 => Ok(Outcome::Failed),
            _ => Err(DriverError::Nonsense),
        }
    }

    /// Waits until the device is done with a chain, the only one that it has.
    fn wait(&mut self, chain: u16) -> Result<(), DriverError> {
        let deadline = syscall::tsc().saturating_add(self.request_ticks);
        loop {
            // The ring decides, before and after each signal: signals come when the host likes.
            match self.queue.take()? {
                Some((done, _)) if done == chain => return Ok(()),
                Some(_) => return Err(DriverError::Nonsense),
                None => {}
            }
            if self.done.wait_until(deadline).is_err() {
                return Err(DriverError::Silent);
            }
        }
    }
}
