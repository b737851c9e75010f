//! Encrypts a disk: a [`Disk`] in front of another one, which sees nothing but ciphertext.
//!
//! The mode is XTS with AES-256 (IEEE 1619-2018; NIST SP 800-38E). A data unit is a sector of 512 bytes, and
//! its tweak the sector's number. Ciphertext has the length of the data, so nothing is kept beside it, and
//! there is nothing by which a change would be noticed.
//!
//! # What it does not promise
//!
//! - **Integrity.** Whoever changes 16 bytes of ciphertext changes those 16 bytes of data to something that
//!   he does not choose, and nobody notices.
//! - **Freshness.** He may put back what a sector, or any 16 bytes of it, was before. A write that a loss of
//!   power tears leaves some blocks old and some new, as on any disk.
//! - **Silence.** He sees which sectors are read and written, when, and which 16 bytes of a sector a write
//!   has left as they were.
//! - **Sectors that nobody wrote** are not zero: whatever is there is decrypted.
//!
//! Two sectors that are swapped are noticed as little, but their contents are noise: a sector is decrypted by
//! its place alone.
//!
//! The cipher takes the same time for all data and keys where it is done without instructions for it, as in a
//! process of Plinth's; the crate `aes` says so of itself.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod xts;

use alloc::boxed::Box;
use alloc::vec::Vec;

use devices::disk::SECTOR_BYTES;
use devices::disk::{BUFFER_BYTES, Disk, DiskError};
use zeroize::Zeroizing;

pub use xts::Xts;

/// Bytes of a key: that of the data, then that of the tweaks.
pub const KEY_BYTES: usize = 64;

/// Why bytes are no key. To blame: who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// There are so many of them and not [`KEY_BYTES`].
    Length(usize),
    /// Both halves are the same, which IEEE 1619 and FIPS 140 forbid.
    Halves,
}

impl core::fmt::Display for KeyError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length(bytes) => write!(f, "it has {bytes} bytes and not {KEY_BYTES}"),
            Self::Halves => f.write_str("its halves are the same"),
        }
    }
}

impl core::error::Error for KeyError {}

/// Where a disk's key comes from: a file of the image, or whoever hands keys out to a guest that has shown
/// what it is.
pub trait KeySource {
    /// Why there is none.
    type Error;

    /// The key's bytes. What they are is looked at by [`Encrypted::new`].
    ///
    /// # Errors
    /// When there is none to be had.
    fn key(&mut self) -> Result<Zeroizing<Vec<u8>>, Self::Error>;
}

/// A disk that is encrypted on another one.
pub struct Encrypted<D> {
    disk: D,
    /// In one place: what moves leaves copies behind that nobody wipes.
    xts: Box<Xts>,
    /// What is written, on its way: of a size, so that a request takes no memory.
    buffer: Vec<u8>,
}

impl<D: Disk> Encrypted<D> {
    /// The disk whose sectors are on another one, encrypted with a key.
    ///
    /// # Errors
    /// When the bytes are no key.
    pub fn new(disk: D, key: &[u8]) -> Result<Self, KeyError> {
        Ok(Self { disk, xts: Box::new(Xts::new(key)?), buffer: Vec::with_capacity(BUFFER_BYTES) })
    }

    /// Encrypts what is in the buffer and writes it.
    fn write_buffer(&mut self, offset: u64) -> Result<(), DiskError> {
        self.xts.encrypt(offset / SECTOR_BYTES, &mut self.buffer);
        self.disk.write(offset, &self.buffer)
    }
}

/// Offsets and sizes are of whole sectors; anything else is an error, and nothing is done.
fn check(offset: u64, bytes: u64) -> Result<(), DiskError> {
    let is_whole = offset.is_multiple_of(SECTOR_BYTES) && bytes.is_multiple_of(SECTOR_BYTES);
    // No piece of it lies where offsets have come round to zero.
    (is_whole && offset.checked_add(bytes).is_some()).then_some(()).ok_or(DiskError)
}

impl<D: Disk> Disk for Encrypted<D> {
    fn bytes(&self) -> u64 {
        self.disk.bytes()
    }

    fn is_read_only(&self) -> bool {
        self.disk.is_read_only()
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        check(offset, bytes.len() as u64)?;
        self.disk.read(offset, bytes)?;
        // Where they are: the caller's buffer is its own.
        self.xts.decrypt(offset / SECTOR_BYTES, bytes);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        check(offset, bytes.len() as u64)?;
        for (piece, number) in bytes.chunks(BUFFER_BYTES).zip(0u64..) {
            self.buffer.clear();
            self.buffer.extend_from_slice(piece);
            self.write_buffer(offset + number * BUFFER_BYTES as u64)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.disk.flush()
    }

    /// Nothing is done: a disk that was told would know which sectors have data, and show it by zeroes. A
    /// discarded sector reads as what was there before, which is one of the things that it may read as.
    fn discard(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        check(offset, bytes)
    }

    /// Zeroes are data, and written encrypted: zeroes on the disk would be something else.
    fn write_zeroes(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        check(offset, bytes)?;
        let mut done = 0;
        while done < bytes {
            let piece = (bytes - done).min(BUFFER_BYTES as u64);
            self.buffer.clear();
            self.buffer.resize(piece as usize, 0);
            self.write_buffer(offset + done)?;
            done += piece;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
