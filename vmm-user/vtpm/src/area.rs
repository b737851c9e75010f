//! The TPM's state on a disk: two slots, encrypted as a guest's disk is (`block-crypt`), by a key of their
//! own.
//!
//! | bytes of a slot | what, before it is encrypted |
//! |---|---|
//! | 8 | [`MAGIC`] |
//! | 8 | the snapshot's length, little endian |
//! | up to 512 | zero |
//! | the snapshot's | the snapshot, up to a whole sector with zeroes |
//!
//! A slot whose sectors are zero on the disk itself was never written: a key would make something else of
//! zeroes. Whatever else is no snapshot is damaged, and the engine finds out: it has its own authentication.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use block_crypt::{Encrypted, KeyError};
use devices::disk::SECTOR_BYTES;
use devices::disk::{BUFFER_BYTES, Disk, DiskError};
use tpm2_engine::{PlatformError, Storage};

/// Bytes of a slot. The largest state that the engine's limits allow has some 150 KiB.
pub const SLOT_BYTES: u64 = 256 << 10;
/// Bytes of both.
pub const AREA_BYTES: u64 = 2 * SLOT_BYTES;
/// What a slot begins with.
const MAGIC: &[u8; 8] = b"PLTPMST1";
/// Bytes in front of the snapshot: a sector.
const HEADER_BYTES: usize = SECTOR_BYTES as usize;

/// Why a disk can't have the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AreaError {
    /// It has so many bytes, and needs [`AREA_BYTES`].
    Small(u64),
    /// It can't be written.
    ReadOnly,
    /// It can't be read. To blame: the host.
    Disk,
    /// The key is none.
    Key(KeyError),
}

impl fmt::Display for AreaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Small(bytes) => write!(f, "the disk has {bytes} bytes, and needs {AREA_BYTES}"),
            Self::ReadOnly => f.write_str("the disk can't be written"),
            Self::Disk => f.write_str("the disk can't be read"),
            Self::Key(error) => write!(f, "its key: {error}"),
        }
    }
}

impl core::error::Error for AreaError {}

impl From<DiskError> for AreaError {
    fn from(_: DiskError) -> Self {
        Self::Disk
    }
}

/// Two slots on a disk.
pub struct Area<D> {
    disk: Encrypted<D>,
    /// Slots that were never written.
    is_unused: [bool; 2],
}

/// Reads in pieces that a disk takes.
fn read(disk: &mut impl Disk, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
    for (piece, number) in bytes.chunks_mut(BUFFER_BYTES).zip(0u64..) {
        disk.read(offset + number * BUFFER_BYTES as u64, piece)?;
    }
    Ok(())
}

/// Whether a slot is zero on the disk itself.
fn is_unused(disk: &mut impl Disk, slot: u64) -> Result<bool, DiskError> {
    let mut bytes = vec![0; BUFFER_BYTES];
    for offset in (slot * SLOT_BYTES..(slot + 1) * SLOT_BYTES).step_by(BUFFER_BYTES) {
        disk.read(offset, &mut bytes)?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl<D: Disk> Area<D> {
    /// The area at the beginning of a disk. Nothing is written to it.
    ///
    /// # Errors
    /// When it can't be one, or be read.
    pub fn open(mut disk: D, key: &[u8]) -> Result<Self, AreaError> {
        if disk.bytes() < AREA_BYTES {
            return Err(AreaError::Small(disk.bytes()));
        }
        if disk.is_read_only() {
            return Err(AreaError::ReadOnly);
        }
        let is_unused = [is_unused(&mut disk, 0)?, is_unused(&mut disk, 1)?];
        Ok(Self { disk: Encrypted::new(disk, key).map_err(AreaError::Key)?, is_unused })
    }
}

/// Where a slot begins.
fn offset(slot: usize) -> Result<u64, PlatformError> {
    if slot < 2 { Ok(slot as u64 * SLOT_BYTES) } else { Err(PlatformError) }
}

/// How long a snapshot is, by its slot's first sector.
fn length(header: &[u8; HEADER_BYTES]) -> Option<usize> {
    let (magic, rest) = header.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*rest.first_chunk()?)).ok()?;
    (magic == MAGIC && length <= SLOT_BYTES as usize - HEADER_BYTES).then_some(length)
}

impl<D: Disk> Storage for Area<D> {
    fn read(&mut self, slot: usize) -> Result<Vec<u8>, PlatformError> {
        let offset = offset(slot)?;
        if self.is_unused.get(slot) == Some(&true) {
            return Ok(Vec::new());
        }
        let mut header = [0; HEADER_BYTES];
        self.disk.read(offset, &mut header).map_err(|_| PlatformError)?;
        // What is no slot is no snapshot either, and not nothing: the engine shall find it damaged.
        let Some(length) = length(&header) else { return Ok(header.to_vec()) };
        let mut bytes = vec![0; length.next_multiple_of(SECTOR_BYTES as usize)];
        read(&mut self.disk, offset + SECTOR_BYTES, &mut bytes).map_err(|_| PlatformError)?;
        bytes.truncate(length);
        Ok(bytes)
    }

    fn write(&mut self, slot: usize, bytes: &[u8]) -> Result<(), PlatformError> {
        let offset = offset(slot)?;
        let end = HEADER_BYTES + bytes.len().next_multiple_of(SECTOR_BYTES as usize);
        if end as u64 > SLOT_BYTES {
            return Err(PlatformError);
        }
        let mut sectors = Vec::with_capacity(end);
        sectors.extend_from_slice(MAGIC);
        sectors.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        sectors.resize(HEADER_BYTES, 0);
        sectors.extend_from_slice(bytes);
        sectors.resize(end, 0);
        // Before the first sector: a write that is cut leaves a slot that is not unused.
        if let Some(is_unused) = self.is_unused.get_mut(slot) {
            *is_unused = false;
        }
        let written = self.disk.write(offset, &sectors).and_then(|()| self.disk.flush());
        written.map_err(|_| PlatformError)
    }
}

#[cfg(test)]
pub(crate) mod tests;
