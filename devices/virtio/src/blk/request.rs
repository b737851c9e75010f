//! One request: a header that the device reads, data, and a byte of status that it writes. What it asks of
//! the disk is done piece by piece.

use alloc::vec::Vec;

use devices::disk::{BUFFER_BYTES, Job, Operation, SECTOR_BYTES};
use devices::guest_memory::GuestMemory;

use super::spec::{HEADER_BYTES, RANGE_BYTES, SERIAL_BYTES, UNMAP, kind, status};
use super::{RANGE_SECTORS_MAX, RANGES_MAX, ZEROES_BYTES};
use crate::queue::{Chain, RingError};

/// Why a request is not carried out.
enum Failure {
    /// The guest is told by this status.
    Status(u8),
    /// The ring is no good.
    Ring(RingError),
}

impl<E: Into<RingError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Ring(error.into())
    }
}

/// What a request is held against.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// How many bytes the disk has.
    pub bytes: u64,
    /// Whether it can't be written.
    pub is_read_only: bool,
    /// Its serial number.
    pub serial: &'a [u8],
}

/// A request under way.
#[derive(Debug)]
pub struct Request {
    kind: u32,
    sector: u64,
    /// How many bytes may be written before the status.
    writable: u32,
    /// How many bytes of data there are, and how many of them are behind.
    bytes: u32,
    done: u32,
    /// Bytes of the disk that are left of the last range that was read: from where on, and how many.
    range: (u64, u64),
    /// How it ends, as it looks now: how many bytes were written, or the status.
    result: Result<u32, u8>,
}

impl Request {
    /// The request in a chain.
    ///
    /// # Errors
    /// When the buffers are not those of a request, or not memory.
    pub fn new(chain: &Chain, memory: &impl GuestMemory) -> Result<Self, RingError> {
        // The status is the last byte to write, however the driver divides its buffers (5.2.6).
        let Some(writable) = chain.writable_bytes().checked_sub(1) else { return Err(RingError::Request) };
        let mut header = [0; HEADER_BYTES as usize];
        // Without a whole header it is not even known what was asked for, so that no status could tell what
        // is wrong.
        if chain.readable().read(memory, &mut header)? < header.len() {
            return Err(RingError::Request);
        }
        let header = u128::from_le_bytes(header);
        let kind = header as u32;
        let bytes = match kind {
            kind::IN => writable,
            _ => chain.readable_bytes().saturating_sub(HEADER_BYTES),
        };
        let sector = (header >> 64) as u64;
        Ok(Self { kind, sector, writable, bytes, done: 0, range: (0, 0), result: Ok(0) })
    }

    /// What is to be done next, with its data; `None` when the request is over.
    ///
    /// # Errors
    /// When buffers are not memory.
    pub fn next(
        &mut self,
        chain: &Chain,
        memory: &impl GuestMemory,
        about: About<'_>,
        data: &mut Vec<u8>,
    ) -> Result<Option<Operation>, RingError> {
        // A piece that failed ends the request: the rest of it is not tried.
        if self.result.is_err() {
            return Ok(None);
        }
        // No job has bytes of another's.
        data.clear();
        let next = match self.kind {
            kind::IN => self.read(about, data),
            kind::OUT => self.write(chain, memory, about, data),
            kind::FLUSH => Ok(self.once().then_some(Operation::Flush)),
            kind::GET_ID => self.serial(chain, memory, about.serial),
            kind::DISCARD => self.ranges(chain, memory, about, false),
            kind::WRITE_ZEROES => self.ranges(chain, memory, about, true),
            _ => Err(Failure::Status(status::UNSUPPORTED)),
        };
        match next {
            Ok(next) => Ok(next),
            Err(Failure::Status(status)) => {
                self.result = Err(status);
                Ok(None)
            }
            Err(Failure::Ring(error)) => Err(error),
        }
    }

    /// A job of this request is done.
    ///
    /// # Errors
    /// When buffers are not memory.
    pub fn job_done(&mut self, chain: &Chain, memory: &impl GuestMemory, job: &Job) -> Result<(), RingError> {
        match (job.result, job.operation) {
            (Err(_), _) => self.result = Err(status::IO_ERROR),
            (Ok(()), Operation::Read { .. }) => {
                // Without the last byte, which is the status.
                let mut room = chain.writable().take(self.writable).skip(self.done);
                self.done = self.done.saturating_add(room.write(memory, &job.data)? as u32);
                self.result = Ok(self.done);
            }
            (Ok(()), Operation::Write { .. }) => {
                self.done = self.done.saturating_add(job.data.len() as u32);
            }
            (Ok(()), _) => {}
        }
        Ok(())
    }

    /// Tells the driver how it ended. Returns how many bytes were written to the chain's buffers.
    ///
    /// # Errors
    /// When the status is not memory.
    pub fn finish(&self, chain: &Chain, memory: &impl GuestMemory) -> Result<u32, RingError> {
        let (status, written) = match self.result {
            Ok(written) => (status::OK, written),
            Err(status) => (status, 0),
        };
        chain.writable().skip(self.writable).write(memory, &[status])?;
        // The status is the last byte that there is. With data missing before it, the length says nothing.
        Ok(if written == self.writable { written + 1 } else { 0 })
    }

    /// Whether this is the first time.
    fn once(&mut self) -> bool {
        core::mem::replace(&mut self.done, 1) == 0
    }

    fn read(&mut self, about: About<'_>, data: &mut Vec<u8>) -> Result<Option<Operation>, Failure> {
        // All of it, before the first part: a request that reaches behind the disk has read nothing.
        let offset = about.place(self.sector, self.bytes.into())?;
        // In parts: a request may be of nearly 4 GiB.
        let part = BUFFER_BYTES.min((self.bytes - self.done) as usize);
        data.resize(part, 0);
        Ok((part > 0).then_some(Operation::Read { offset: offset + u64::from(self.done) }))
    }

    fn write(
        &mut self,
        chain: &Chain,
        memory: &impl GuestMemory,
        about: About<'_>,
        data: &mut Vec<u8>,
    ) -> Result<Option<Operation>, Failure> {
        // As for reading; of a write that reaches behind the disk nothing is written either.
        let offset = about.place(self.sector, self.bytes.into())?;
        about.check_writable()?;
        let part = BUFFER_BYTES.min((self.bytes - self.done) as usize);
        data.resize(part, 0);
        // Each part once, and before the driver may do anything else with it.
        chain.readable().skip(HEADER_BYTES).skip(self.done).read(memory, data)?;
        Ok((part > 0).then_some(Operation::Write { offset: offset + u64::from(self.done) }))
    }

    /// Ends in a zero unless it is as long as it may be.
    fn serial(
        &mut self,
        chain: &Chain,
        memory: &impl GuestMemory,
        serial: &[u8],
    ) -> Result<Option<Operation>, Failure> {
        let mut text = [0; SERIAL_BYTES];
        text.iter_mut().zip(serial).for_each(|(to, from)| *to = *from);
        self.result = Ok(chain.writable().take(self.writable).write(memory, &text)? as u32);
        Ok(None)
    }

    /// Discards ranges, or fills them with zeroes.
    fn ranges(
        &mut self,
        chain: &Chain,
        memory: &impl GuestMemory,
        about: About<'_>,
        is_zero: bool,
    ) -> Result<Option<Operation>, Failure> {
        about.check_writable()?;
        let ranges = self.bytes / RANGE_BYTES;
        // The configuration says how many are taken: without an end one request could go on for ever.
        if !self.bytes.is_multiple_of(RANGE_BYTES) || ranges == 0 || ranges > RANGES_MAX {
            return Err(Failure::Status(status::UNSUPPORTED));
        }
        while self.range.1 == 0 {
            if self.done >= self.bytes {
                return Ok(None);
            }
            self.range = self.next_range(chain, memory, about, is_zero)?;
        }
        let (offset, left) = self.range;
        // Zeroes are written, and a reset need not wait for all of them.
        let bytes = if is_zero { left.min(ZEROES_BYTES) } else { left };
        self.range = (offset.saturating_add(bytes), left - bytes);
        Ok(Some(match is_zero {
            true => Operation::WriteZeroes { offset, bytes },
            false => Operation::Discard { offset, bytes },
        }))
    }

    fn next_range(
        &mut self,
        chain: &Chain,
        memory: &impl GuestMemory,
        about: About<'_>,
        is_zero: bool,
    ) -> Result<(u64, u64), Failure> {
        let mut range = [0; RANGE_BYTES as usize];
        // Copied before it is looked at, so that the guest can't change it between check and use.
        chain.readable().skip(HEADER_BYTES).skip(self.done).read(memory, &mut range)?;
        self.done = self.done.saturating_add(RANGE_BYTES);
        let range = u128::from_le_bytes(range);
        let (sector, sectors, flags) = (range as u64, (range >> 64) as u32, (range >> 96) as u32);
        // A discard has no flags, zeroes have one; others are unsupported (5.2.6.2).
        if flags & !(if is_zero { UNMAP } else { 0 }) != 0 || sectors > RANGE_SECTORS_MAX {
            return Err(Failure::Status(status::UNSUPPORTED));
        }
        let bytes = u64::from(sectors) * SECTOR_BYTES;
        Ok((about.place(sector, bytes)?, bytes))
    }
}

impl About<'_> {
    /// Where so many bytes are on the disk, if they are, and are whole sectors.
    fn place(&self, sector: u64, bytes: u64) -> Result<u64, Failure> {
        // The sector is any 64 bits of the guest's.
        let offset = sector.checked_mul(SECTOR_BYTES);
        let end = offset.and_then(|offset| offset.checked_add(bytes));
        match (offset, end) {
            (Some(offset), Some(end)) if end <= self.bytes && bytes.is_multiple_of(SECTOR_BYTES) => {
                Ok(offset)
            }
            // A sector that there is not is the mistake of the driver's user, not of the ring, which goes on.
            _ => Err(Failure::Status(status::IO_ERROR)),
        }
    }

    fn check_writable(&self) -> Result<(), Failure> {
        if self.is_read_only { Err(Failure::Status(status::IO_ERROR)) } else { Ok(()) }
    }
}
