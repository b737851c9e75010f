//! A chain: the buffers of one request.

use alloc::vec::Vec;

use devices::guest_memory::{GuestMemory, NotMemory};

use super::{CHAIN_MAX, RingError};

/// Descriptor flag: another descriptor follows.
pub(super) const NEXT: u16 = 1 << 0;
/// Descriptor flag: the device writes the buffer.
pub(super) const WRITE: u16 = 1 << 1;
/// Descriptor flag: the buffer is a table of descriptors.
pub(super) const INDIRECT: u16 = 1 << 2;
/// Bytes of a descriptor, in both formats.
pub(super) const DESCRIPTOR_BYTES: u32 = 16;

/// A descriptor as it was read, once. The last two fields are `flags` and `next` in a split ring, `id` and
/// `flags` in a packed one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub gpa: u64,
    pub bytes: u32,
    pub words: [u16; 2],
}

impl Descriptor {
    pub fn read(memory: &impl GuestMemory, gpa: u64) -> Result<Self, NotMemory> {
        let mut bytes = [0; DESCRIPTOR_BYTES as usize];
        // All of it at once, and never again: the driver may change it after it was checked.
        memory.read(gpa, &mut bytes)?;
        let value = u128::from_le_bytes(bytes);
        let words = [(value >> 96) as u16, (value >> 112) as u16];
        Ok(Self { gpa: value as u64, bytes: (value >> 64) as u32, words })
    }
}

/// A buffer in guest memory. Its last byte has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins.
    pub gpa: u64,
    /// How many bytes it has.
    pub bytes: u32,
}

/// The buffers of one request. It is kept and filled again and again, so that a request takes no memory.
#[derive(Debug, Default)]
pub struct Chain {
    /// What the driver knows it by.
    pub(super) id: u16,
    /// How many descriptors of the ring itself it takes up.
    pub(super) descriptors: u16,
    readable: Vec<Segment>,
    writable: Vec<Segment>,
    readable_bytes: u32,
    writable_bytes: u32,
}

impl Chain {
    pub(super) fn clear(&mut self) {
        self.readable.clear();
        self.writable.clear();
        (self.id, self.descriptors) = (0, 0);
        (self.readable_bytes, self.writable_bytes) = (0, 0);
    }

    /// One more buffer.
    pub(super) fn add(&mut self, gpa: u64, bytes: u32, flags: u16) -> Result<(), RingError> {
        // How long a chain is, the guest says: this bounds the memory and the time that it takes.
        if self.readable.len() + self.writable.len() == CHAIN_MAX {
            return Err(RingError::Chain);
        }
        // Once and here, so that a cursor may add without looking.
        gpa.checked_add(bytes.into()).ok_or(RingError::Bytes)?;
        let is_writable = flags & WRITE != 0;
        // All that the device writes comes behind all that it reads (2.7.4.2).
        if !is_writable && !self.writable.is_empty() {
            return Err(RingError::Order);
        }
        let (segments, sum) = match is_writable {
            true => (&mut self.writable, &mut self.writable_bytes),
            false => (&mut self.readable, &mut self.readable_bytes),
        };
        *sum = sum.checked_add(bytes).ok_or(RingError::Bytes)?;
        segments.push(Segment { gpa, bytes });
        Ok(())
    }

    /// How many bytes there are for the device to read.
    pub fn readable_bytes(&self) -> u32 {
        self.readable_bytes
    }

    /// How many bytes there are for the device to write.
    pub fn writable_bytes(&self) -> u32 {
        self.writable_bytes
    }

    /// The bytes to read, from the first one on.
    pub fn readable(&self) -> Cursor<'_> {
        Cursor { segments: &self.readable, done: 0, left: self.readable_bytes }
    }

    /// The bytes to write, from the first one on.
    pub fn writable(&self) -> Cursor<'_> {
        Cursor { segments: &self.writable, done: 0, left: self.writable_bytes }
    }
}

/// A place in the buffers of a chain.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    segments: &'a [Segment],
    /// Bytes of the first segment that are behind.
    done: u32,
    left: u32,
}

impl Cursor<'_> {
    /// How many bytes are left.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Nothing is left beyond so many bytes.
    #[must_use]
    pub fn take(mut self, bytes: u32) -> Self {
        self.left = self.left.min(bytes);
        self
    }

    /// Passes over bytes.
    #[must_use]
    pub fn skip(mut self, bytes: u32) -> Self {
        let mut rest = bytes;
        while rest > 0 {
            let Some((_, part)) = self.next_part(rest) else { break };
            rest -= part;
        }
        self
    }

    /// The next bytes that lie together, at most so many: their address and number.
    fn next_part(&mut self, bytes: u32) -> Option<(u64, u32)> {
        while let [first, rest @ ..] = self.segments {
            let part = (first.bytes - self.done).min(bytes).min(self.left);
            // A buffer of no bytes is passed over: a part of 0 would look like the end.
            if part > 0 {
                let gpa = first.gpa + u64::from(self.done);
                self.done += part;
                self.left -= part;
                return Some((gpa, part));
            }
            if self.left == 0 {
                return None;
            }
            (self.segments, self.done) = (rest, 0);
        }
        None
    }

    /// Copies the next bytes out of guest memory. Returns how many there were.
    ///
    /// # Errors
    /// When not all of them are memory.
    pub fn read(&mut self, memory: &impl GuestMemory, bytes: &mut [u8]) -> Result<usize, NotMemory> {
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            // More than that is in no chain, whose bytes are counted by 32 bits.
            let wanted = u32::try_from(rest.len()).unwrap_or(u32::MAX);
            let Some((gpa, part)) = self.next_part(wanted) else { break };
            let Some(rest) = rest.get_mut(..part as usize) else { break };
            memory.read(gpa, rest)?;
            done += part as usize;
        }
        Ok(done)
    }

    /// Copies the next bytes into guest memory. Returns how many there was room for.
    ///
    /// # Errors
    /// When not all of them are memory.
    pub fn write(&mut self, memory: &impl GuestMemory, bytes: &[u8]) -> Result<usize, NotMemory> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let wanted = u32::try_from(rest.len()).unwrap_or(u32::MAX);
            let Some((gpa, part)) = self.next_part(wanted) else { break };
            let Some(rest) = rest.get(..part as usize) else { break };
            memory.write(gpa, rest)?;
            done += part as usize;
        }
        Ok(done)
    }
}
