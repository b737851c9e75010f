//! Virtqueues: rings of descriptors in guest memory (virtio 1.2, 2.6 to 2.8).
//!
//! A [`Queue`] has what the driver says of it; once it is enabled, it has a ring of one of the two formats,
//! which gives [`Chain`]s and takes them back. A chain is all buffers of one request, checked: the ones that
//! the device reads come first, and there are not more than [`CHAIN_MAX`]. Whether their addresses are memory
//! shows at the access.

mod chain;
mod packed;
mod split;

use devices::guest_memory::{GuestMemory, NotMemory};

pub use chain::{Chain, Cursor, Segment};
use packed::Packed;
use split::Split;

/// The most descriptors of a chain, those of an indirect table included.
pub const CHAIN_MAX: usize = 1024;

/// Why a ring can't be used any more. To blame: the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// A ring or a buffer is not in memory.
    NotMemory,
    /// A ring is not aligned as it must be.
    Alignment,
    /// More is available than the ring has room for.
    Index,
    /// A descriptor that there is not, or a chain without end.
    Chain,
    /// An indirect table of no size that one can have, or one in another.
    Indirect,
    /// A buffer that the device reads comes after one that it writes.
    Order,
    /// More bytes than 32 bits count, or buffers past the end of addresses.
    Bytes,
    /// The buffers are not what the device's requests are made of.
    Request,
}

impl From<NotMemory> for RingError {
    fn from(_: NotMemory) -> Self {
        Self::NotMemory
    }
}

impl core::fmt::Display for RingError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotMemory => "a ring or a buffer is not in memory",
            Self::Alignment => "a ring is not aligned",
            Self::Index => "more is available than the ring has room for",
            Self::Chain => "a descriptor that there is not, or a chain without end",
            Self::Indirect => "an indirect table that none can be",
            Self::Order => "a buffer to read comes after one to write",
            Self::Bytes => "buffers of too many bytes",
            Self::Request => "buffers that are no request",
        })
    }
}

impl core::error::Error for RingError {}

/// What driver and device have agreed on, as far as rings are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// The ring is packed (VIRTIO_F_RING_PACKED).
    pub packed: bool,
    /// Descriptors may be indirect (VIRTIO_F_INDIRECT_DESC).
    pub indirect: bool,
    /// Each side says from which index on it wants to hear of the other (VIRTIO_F_EVENT_IDX).
    pub event_index: bool,
}

/// Where the three parts of a ring are. A split ring's are descriptor table, available ring and used ring; a
/// packed ring's are the ring, and driver and device event suppression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Areas {
    /// The descriptor area.
    pub descriptors: u64,
    /// The driver area.
    pub driver: u64,
    /// The device area.
    pub device: u64,
}

#[derive(Debug)]
enum Ring {
    Split(Split),
    Packed(Packed),
}

/// A queue.
#[derive(Debug)]
pub struct Queue {
    /// The largest size that the driver may choose.
    size_max: u16,
    /// The size that it has chosen.
    pub size: u16,
    /// Where it has put the ring.
    pub areas: Areas,
    ring: Option<Ring>,
}

impl Queue {
    /// A queue of at most so many descriptors: a power of two, up to 32768.
    pub fn new(size_max: u16) -> Self {
        Self { size_max, size: size_max, areas: Areas::default(), ring: None }
    }

    /// As it was at first.
    pub fn reset(&mut self) {
        *self = Self::new(self.size_max);
    }

    /// Whether it is enabled.
    pub fn is_enabled(&self) -> bool {
        self.ring.is_some()
    }

    /// Enables it: what was said of it is what it is from now on.
    ///
    /// # Errors
    /// When no ring can be of that size, or so aligned.
    pub fn enable(&mut self, format: Format) -> Result<(), RingError> {
        // A split ring's indices are masked by its size; a packed one wraps at any.
        let is_size =
            self.size != 0 && self.size <= self.size_max && (format.packed || self.size.is_power_of_two());
        if !is_size {
            return Err(RingError::Index);
        }
        // Made anew: indices and wrap counters begin at zero, as the driver's do.
        self.ring = Some(match format.packed {
            false => Ring::Split(Split::new(self.size, self.areas, format)?),
            true => Ring::Packed(Packed::new(self.size, self.areas, format)?),
        });
        Ok(())
    }

    /// Takes the next chain that the driver has made available. `false` if there is none; the driver will
    /// then notify of the next one. The chain must be given back by [`Self::push`].
    ///
    /// # Errors
    /// When the ring, or what it leads to, is none that a driver may make.
    pub fn pop(&mut self, memory: &impl GuestMemory, chain: &mut Chain) -> Result<bool, RingError> {
        let Some(ring) = &mut self.ring else { return Ok(false) };
        // Only an empty ring asks for notifications: while there is work, the next look finds what was added.
        for is_armed in [false, true] {
            let found = match ring {
                Ring::Split(ring) => ring.pop(memory, chain)?,
                Ring::Packed(ring) => ring.pop(memory, chain)?,
            };
            if found || is_armed {
                return Ok(found);
            }
            // The driver may have made something available before it saw this: one more look.
            match ring {
                Ring::Split(ring) => ring.ask_for_notification(memory)?,
                Ring::Packed(ring) => ring.ask_for_notification(memory)?,
            }
        }
        Ok(false)
    }

    /// Gives a chain back, into whose buffers the device has written so many bytes.
    ///
    /// # Errors
    /// When the ring is not in memory.
    pub fn push(&mut self, memory: &impl GuestMemory, chain: &Chain, written: u32) -> Result<(), RingError> {
        match &mut self.ring {
            Some(Ring::Split(ring)) => ring.push(memory, chain, written),
            Some(Ring::Packed(ring)) => ring.push(memory, chain, written),
            // The driver has reset the queue while the device was at work: nobody waits for the chain.
            None => Ok(()),
        }
    }

    /// Whether the driver wants an interrupt for what was given back since the last time this was asked.
    ///
    /// # Errors
    /// When the ring is not in memory.
    pub fn wants_interrupt(&mut self, memory: &impl GuestMemory) -> Result<bool, RingError> {
        match &mut self.ring {
            Some(Ring::Split(ring)) => ring.wants_interrupt(memory),
            Some(Ring::Packed(ring)) => ring.wants_interrupt(memory),
            None => Ok(false),
        }
    }
}

/// Whether an index in a ring, moved from `old` to `new`, has passed `event` (2.7.7.2).
fn has_passed(event: u16, new: u16, old: u16) -> bool {
    // Indices run on past 16 bits, so that only distances can be compared.
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

fn is_aligned(areas: Areas, [descriptors, driver, device]: [u64; 3]) -> bool {
    areas.descriptors.is_multiple_of(descriptors)
        && areas.driver.is_multiple_of(driver)
        && areas.device.is_multiple_of(device)
}

#[cfg(test)]
mod tests;
