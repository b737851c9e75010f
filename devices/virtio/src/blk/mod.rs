//! The block device (virtio 1.2, 5.2): reads, writes, flushes, discards and zeroes, on any number of queues.
//!
//! A request is carried out in the notification that it came with: the vCPU that notified waits for it. For a
//! disk in memory that is a copy; a [`Disk`] that takes longer holds that vCPU, and those that access the
//! device meanwhile.

mod request;
pub mod spec;

use alloc::vec;
use alloc::vec::Vec;

use devices::guest_memory::GuestMemory;

use crate::device::{Queues, VirtioDevice};
use crate::queue::{Chain, RingError};
use spec::{SECTOR_BYTES, feature};

/// Bytes that are copied between guest and disk at once.
const BUFFER_BYTES: usize = 64 << 10;
/// The most sectors that one discard or one request for zeroes may have.
const RANGE_SECTORS_MAX: u32 = 1 << 20;
/// The most ranges that one such request may have.
const RANGES_MAX: u32 = 64;

/// The disk could not do it. To blame: what the disk is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskError;

/// What a block device keeps its data on. Offsets and sizes are in bytes, and inside the disk.
///
/// # Errors
/// All of it gives [`DiskError`] when it can't be done; the guest gets an I/O error.
pub trait Disk: Send {
    /// How many bytes it has.
    fn bytes(&self) -> u64;
    /// Whether it can't be written.
    fn is_read_only(&self) -> bool;
    /// Reads.
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError>;
    /// Writes.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;
    /// What was written before is kept, whatever happens to the machine.
    fn flush(&mut self) -> Result<(), DiskError>;
    /// Nobody needs these bytes any more; they may read as anything.
    fn discard(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError>;
    /// These bytes are zero from now on.
    fn write_zeroes(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError>;
}

/// What is said of a block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockConfig {
    /// What the guest is told as serial number; of more than 20 bytes the first 20.
    pub serial: Vec<u8>,
    /// How many queues, 1 to 64.
    pub queues: u16,
}

/// A block device on a disk.
pub struct Block<D> {
    // Configuration.
    disk: D,
    config: BlockConfig,
    // Glue, kept from request to request.
    chain: Chain,
    buffer: Vec<u8>,
}

impl<D: Disk> Block<D> {
    /// A block device.
    pub fn new(disk: D, config: BlockConfig) -> Self {
        // Made once, so that a request takes no memory.
        Self { disk, config, chain: Chain::default(), buffer: vec![0; BUFFER_BYTES] }
    }

    /// The disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    fn sectors(&self) -> u64 {
        self.disk.bytes() / SECTOR_BYTES
    }
}

impl<D: Disk> VirtioDevice for Block<D> {
    const NAME: &'static str = "virtio block";
    const ID: u16 = 2;
    const CLASS: u32 = 0x01_0000;

    fn features(&self) -> u64 {
        // A disk that cannot be written takes no discards and no zeroes either.
        let read_only = if self.disk.is_read_only() { feature::READ_ONLY } else { feature::CHANGES };
        let queues = if self.config.queues > 1 { feature::QUEUES } else { 0 };
        feature::SEGMENTS_MAX | feature::BLOCK_SIZE | feature::FLUSH | read_only | queues
    }

    fn queues(&self) -> u16 {
        self.config.queues.max(1)
    }

    fn queue_size(&self) -> u16 {
        256
    }

    fn config(&self, offset: u64) -> u8 {
        // Header and status take one descriptor each.
        let segments = u32::from(self.queue_size()) - 2;
        let (at, bytes): (u64, [u8; 8]) = match offset {
            0..8 => (0, self.sectors().to_le_bytes()),
            12..16 => (12, u64::from(segments).to_le_bytes()),
            20..24 => (20, SECTOR_BYTES.to_le_bytes()),
            34..36 => (34, u64::from(self.queues()).to_le_bytes()),
            36..40 | 48..52 => (offset & !3, u64::from(RANGE_SECTORS_MAX).to_le_bytes()),
            40..44 | 52..56 => (offset & !3, u64::from(RANGES_MAX).to_le_bytes()),
            // Discards are aligned to one sector. Zeroes may be kept without room for them: offset 56 is 1.
            44 | 56 => (offset, 1u64.to_le_bytes()),
            _ => return 0,
        };
        bytes.get((offset - at) as usize).copied().unwrap_or(0)
    }

    fn notified<M: GuestMemory>(&mut self, queue: u16, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        // All that there is: for what comes before the ring is empty, a driver need not notify again.
        while queues.pop(queue, &mut self.chain)? {
            let written = request::carry_out(
                &mut self.disk,
                &self.config.serial,
                &mut self.buffer,
                &self.chain,
                queues.memory(),
            )?;
            queues.push(queue, &self.chain, written)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
