//! A split virtqueue (virtio 1.2, 2.7), as its driver has it: chains of a few descriptors, each in a place of
//! its own, so that the device has no say in which descriptors are free.

use core::sync::atomic::{Ordering, fence};

use runtime::host_function::DeviceMemory;

use crate::DriverError;

/// The most descriptors of a chain.
pub const CHAIN: u16 = 4;
/// The most descriptors of a queue.
pub const SIZE_MAX: u16 = 64;
/// The most chains at a time: of one descriptor each.
const CHAINS_MAX: usize = SIZE_MAX as usize;
/// What a queue needs of the memory that it is in.
pub const BYTES: u64 = 4096;
/// Where the rings are, with as many descriptors as there may be.
const AVAILABLE: u64 = 1024;
const USED: u64 = 2048;
/// Bytes of a descriptor, and of an element of the used ring.
const DESCRIPTOR: u64 = 16;
const ELEMENT: u64 = 8;
/// Flags of a descriptor: another one follows; the device writes it.
const NEXT: u16 = 1;
const WRITE: u16 = 2;
/// A ring's flag: its owner does not want to hear of what the other puts into the other ring.
const NO_SIGNAL: u16 = 1;

const _: () = assert!(SIZE_MAX as u64 * DESCRIPTOR <= AVAILABLE);

/// A piece of memory that the device is to read, or to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Where the device finds it.
    pub physical: u64,
    /// Its size.
    pub bytes: u32,
    /// The device writes it.
    pub is_written: bool,
}

/// A queue.
pub struct Queue {
    memory: DeviceMemory,
    /// Descriptors, a power of two.
    size: u16,
    /// How many of them each chain has for itself.
    chain: u16,
    /// How many bytes the device may write of each chain that it has.
    outstanding: [Option<u32>; CHAINS_MAX],
    available: u16,
    used: u16,
}

impl Queue {
    /// An empty queue, in zeroed memory, for a device that takes at most so many descriptors.
    ///
    /// # Errors
    /// Lacks: too few, or no memory.
    pub fn new(memory: DeviceMemory, most: u16) -> Result<Self, DriverError> {
        Self::with_chains(memory, most, CHAIN)
    }

    /// The same, for chains of one descriptor: as many as there are descriptors.
    ///
    /// # Errors
    /// As of [`new`](Self::new).
    pub fn of_single_buffers(memory: DeviceMemory, most: u16) -> Result<Self, DriverError> {
        Self::with_chains(memory, most, 1)
    }

    fn with_chains(memory: DeviceMemory, most: u16, chain: u16) -> Result<Self, DriverError> {
        let size = most.min(SIZE_MAX);
        // The indices wrap at 2^16: a place modulo the size stays right there only for a power of two (virtio
        // 1.2, 2.7).
        if size < chain || !most.is_power_of_two() || memory.window.bytes() < BYTES {
            return Err(DriverError::Lacks("a queue that is large enough"));
        }
        Ok(Self { memory, size, chain, outstanding: [None; CHAINS_MAX], available: 0, used: 0 })
    }

    /// How many descriptors it has.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// The device's addresses of its descriptors, its available and its used ring.
    pub fn addresses(&self) -> [u64; 3] {
        [0, AVAILABLE, USED].map(|offset| self.memory.physical + offset)
    }

    /// The chain that the next [`submit`](Self::submit) makes available. `None`: the device has all.
    pub fn free(&self) -> Option<u16> {
        let chains = usize::from(self.size / self.chain);
        self.outstanding.iter().take(chains).position(Option::is_none).map(|chain| chain as u16)
    }

    /// Whether the device is to send its message when it is done with a chain. It may do so anyway, and may
    /// have been done with one before it sees this.
    pub fn want_signals(&mut self, wanted: bool) {
        self.memory.window.write_u16(AVAILABLE, if wanted { 0 } else { NO_SIGNAL });
        // Whoever looks whether something is done looks after the device can have seen this (2.7.7.1).
        fence(Ordering::SeqCst);
    }

    /// Whether the device wants to be notified of what was made available.
    pub fn wants_notification(&self) -> bool {
        self.memory.window.read_u16(USED) & NO_SIGNAL == 0
    }

    /// Makes a chain available. Returns its number; `None`: the device has as many as there may be, or there
    /// are too many buffers, or none.
    pub fn submit(&mut self, buffers: &[Buffer]) -> Option<u16> {
        let chain = self.free()?;
        if buffers.is_empty() || buffers.len() > usize::from(self.chain) {
            return None;
        }
        let head = chain * self.chain;
        let window = &self.memory.window;
        for (buffer, index) in buffers.iter().zip(head..) {
            let is_last = usize::from(index - head) + 1 == buffers.len();
            let flags = if is_last { 0 } else { NEXT } | if buffer.is_written { WRITE } else { 0 };
            let at = u64::from(index) * DESCRIPTOR;
            window.write_u64(at, buffer.physical);
            window.write_u32(at + 8, buffer.bytes);
            window.write_u16(at + 12, flags);
            window.write_u16(at + 14, if is_last { 0 } else { index + 1 });
        }
        let written = buffers.iter().filter(|buffer| buffer.is_written).map(|buffer| buffer.bytes);
        if let Some(place) = self.outstanding.get_mut(usize::from(chain)) {
            *place = Some(written.fold(0, u32::saturating_add));
        }
        window.write_u16(AVAILABLE + 4 + 2 * u64::from(self.available % self.size), head);
        // What is written above is there before the device is told of it.
        fence(Ordering::SeqCst);
        self.available = self.available.wrapping_add(1);
        window.write_u16(AVAILABLE + 2, self.available);
        // And that before the device is notified.
        fence(Ordering::SeqCst);
        Some(chain)
    }

    /// Takes a chain back that the device is done with: its number, and how many bytes were written.
    ///
    /// # Errors
    /// Nonsense: the device says that it is done with what it does not have, or has written more than it may.
    pub fn take(&mut self) -> Result<Option<(u16, u32)>, DriverError> {
        let window = &self.memory.window;
        let done = window.read_u16(USED + 2).wrapping_sub(self.used);
        if done == 0 {
            return Ok(None);
        }
        // The index is the host's and may jump: believed, it would have old elements of the ring taken once
        // more.
        if usize::from(done) > self.outstanding.iter().flatten().count() {
            return Err(DriverError::Nonsense);
        }
        // What the device has written before is read after.
        fence(Ordering::SeqCst);
        let at = USED + 4 + ELEMENT * u64::from(self.used % self.size);
        let (id, bytes) = (window.read_u32(at), window.read_u32(at + 4));
        let chain = id / u32::from(self.chain);
        let is_head = id.is_multiple_of(u32::from(self.chain));
        let place = self.outstanding.get_mut(chain as usize).filter(|_| is_head);
        match place.and_then(Option::take) {
            // Taken out of `outstanding` by now, so that a second element for the same chain finds nothing.
            Some(most) if bytes <= most => {
                self.used = self.used.wrapping_add(1);
                Ok(Some((chain as u16, bytes)))
            }
            _ => Err(DriverError::Nonsense),
        }
    }
}

#[cfg(test)]
mod tests;
