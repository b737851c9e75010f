//! One request: a header that the device reads, data, and a byte of status that it writes.

use devices::guest_memory::GuestMemory;

use super::spec::{HEADER_BYTES, RANGE_BYTES, SECTOR_BYTES, SERIAL_BYTES, UNMAP, kind, status};
use super::{Disk, DiskError, RANGE_SECTORS_MAX, RANGES_MAX};
use crate::queue::{Chain, Cursor, RingError};

/// Why a request is not carried out.
enum Failure {
    /// The guest is told by this status.
    Status(u8),
    /// The ring is no good.
    Ring(RingError),
}

impl From<DiskError> for Failure {
    fn from(_: DiskError) -> Self {
        Self::Status(status::IO_ERROR)
    }
}

impl<E: Into<RingError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Ring(error.into())
    }
}

/// A request being carried out.
struct Request<'a, D, M> {
    disk: &'a mut D,
    buffer: &'a mut [u8],
    memory: &'a M,
    sector: u64,
}

/// Carries out the request in a chain. Returns how many bytes were written to the chain's buffers.
///
/// # Errors
/// When the buffers are not those of a request, or not memory.
pub fn carry_out(
    disk: &mut impl Disk,
    serial: &[u8],
    buffer: &mut [u8],
    chain: &Chain,
    memory: &impl GuestMemory,
) -> Result<u32, RingError> {
    // The status is the last byte to write, however the driver divides its buffers (5.2.6).
    let Some(writable) = chain.writable_bytes().checked_sub(1) else { return Err(RingError::Request) };
    let mut header = [0; HEADER_BYTES as usize];
    if chain.readable().read(memory, &mut header)? < header.len() {
        return Err(RingError::Request);
    }
    let header = u128::from_le_bytes(header);
    let mut request = Request { disk, buffer, memory, sector: (header >> 64) as u64 };
    let (data_in, data_out) = (chain.writable().take(writable), chain.readable().skip(HEADER_BYTES));
    let result = match header as u32 {
        kind::IN => request.read(data_in),
        kind::OUT => request.write(data_out),
        kind::FLUSH => request.disk.flush().map(|()| 0).map_err(Failure::from),
        kind::GET_ID => request.serial(serial, data_in),
        kind::DISCARD => request.ranges(data_out, false),
        kind::WRITE_ZEROES => request.ranges(data_out, true),
        _ => Err(Failure::Status(status::UNSUPPORTED)),
    };
    let (status, written) = match result {
        Ok(written) => (status::OK, written),
        Err(Failure::Status(status)) => (status, 0),
        Err(Failure::Ring(error)) => return Err(error),
    };
    chain.writable().skip(writable).write(memory, &[status])?;
    // The status is the last byte that there is. With data missing before it, the length says nothing.
    Ok(if written == writable { written + 1 } else { 0 })
}

impl<D: Disk, M: GuestMemory> Request<'_, D, M> {
    /// Where so many bytes are on the disk, if they are, and are whole sectors.
    fn place(&self, sector: u64, bytes: u64) -> Result<u64, Failure> {
        // The sector is any 64 bits of the guest's.
        let offset = sector.checked_mul(SECTOR_BYTES);
        let end = offset.and_then(|offset| offset.checked_add(bytes));
        match (offset, end) {
            (Some(offset), Some(end)) if end <= self.disk.bytes() && bytes.is_multiple_of(SECTOR_BYTES) => {
                Ok(offset)
            }
            // A sector that there is not is the mistake of the driver's user, not of the ring, which goes on.
            _ => Err(Failure::Status(status::IO_ERROR)),
        }
    }

    fn read(&mut self, mut data: Cursor<'_>) -> Result<u32, Failure> {
        let bytes = data.left();
        let mut offset = self.place(self.sector, bytes.into())?;
        while data.left() > 0 {
            // In parts: a request may be of nearly 4 GiB.
            let part = self.buffer.len().min(data.left() as usize);
            let Some(part) = self.buffer.get_mut(..part) else { break };
            self.disk.read(offset, part)?;
            data.write(self.memory, part)?;
            offset += part.len() as u64;
        }
        Ok(bytes)
    }

    fn write(&mut self, mut data: Cursor<'_>) -> Result<u32, Failure> {
        let mut offset = self.place(self.sector, data.left().into())?;
        self.check_writable()?;
        while data.left() > 0 {
            let part = self.buffer.len().min(data.left() as usize);
            let Some(part) = self.buffer.get_mut(..part) else { break };
            data.read(self.memory, part)?;
            self.disk.write(offset, part)?;
            offset += part.len() as u64;
        }
        Ok(0)
    }

    fn check_writable(&self) -> Result<(), Failure> {
        if self.disk.is_read_only() { Err(Failure::Status(status::IO_ERROR)) } else { Ok(()) }
    }

    /// Ends in a zero unless it is as long as it may be.
    fn serial(&mut self, serial: &[u8], mut data: Cursor<'_>) -> Result<u32, Failure> {
        let mut text = [0; SERIAL_BYTES];
        text.iter_mut().zip(serial).for_each(|(to, from)| *to = *from);
        Ok(data.write(self.memory, &text)? as u32)
    }

    /// Discards ranges, or fills them with zeroes.
    fn ranges(&mut self, mut data: Cursor<'_>, is_zero: bool) -> Result<u32, Failure> {
        self.check_writable()?;
        let ranges = data.left() / RANGE_BYTES;
        // The configuration says how many are taken: without an end one request could hold the vCPU.
        if !data.left().is_multiple_of(RANGE_BYTES) || ranges == 0 || ranges > RANGES_MAX {
            return Err(Failure::Status(status::UNSUPPORTED));
        }
        for _ in 0..ranges {
            let mut range = [0; RANGE_BYTES as usize];
            // Copied before it is looked at, so that the guest can't change it between check and use.
            data.read(self.memory, &mut range)?;
            let range = u128::from_le_bytes(range);
            let (sector, sectors, flags) = (range as u64, (range >> 64) as u32, (range >> 96) as u32);
            // A discard has no flags, zeroes have one; others are unsupported (5.2.6.2).
            if flags & !(if is_zero { UNMAP } else { 0 }) != 0 || sectors > RANGE_SECTORS_MAX {
                return Err(Failure::Status(status::UNSUPPORTED));
            }
            let bytes = u64::from(sectors) * SECTOR_BYTES;
            let offset = self.place(sector, bytes)?;
            match is_zero {
                true => self.disk.write_zeroes(offset, bytes)?,
                false => self.disk.discard(offset, bytes)?,
            }
        }
        Ok(0)
    }
}
