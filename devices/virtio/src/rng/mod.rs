//! The entropy device (virtio 1.2, 5.4): fills buffers with random bytes.

use alloc::vec;
use alloc::vec::Vec;

use devices::guest_memory::GuestMemory;

use crate::device::{Queues, VirtioDevice};
use crate::queue::{Chain, RingError};

/// Bytes that are made at once.
const BUFFER_BYTES: usize = 256;
/// The most bytes that one buffer gets: the driver takes less than it asked for (5.4.6.1).
const REQUEST_MAX: u32 = 4096;

/// Where random bytes come from.
pub trait Entropy: Send {
    /// Fills the buffer from its start. Returns how many bytes there were; fewer when there are no more now.
    fn fill(&mut self, bytes: &mut [u8]) -> usize;
}

/// An entropy device.
pub struct Rng<E> {
    // Configuration.
    source: E,
    // Glue, kept from request to request.
    chain: Chain,
    buffer: Vec<u8>,
}

impl<E: Entropy> Rng<E> {
    /// A device that has its bytes from a source.
    pub fn new(source: E) -> Self {
        Self { source, chain: Chain::default(), buffer: vec![0; BUFFER_BYTES] }
    }

    fn fill<M: GuestMemory>(&mut self, memory: &M) -> Result<u32, RingError> {
        let mut data = self.chain.writable().take(REQUEST_MAX);
        let mut written = 0;
        while data.left() > 0 {
            let wanted = self.buffer.len().min(data.left() as usize);
            let Some(wanted) = self.buffer.get_mut(..wanted) else { break };
            // No more than was asked for, whatever the source says: behind it is what earlier bytes have
            // left.
            let made = self.source.fill(wanted).min(wanted.len());
            written += data.write(memory, wanted.get(..made).unwrap_or_default())?;
            // The source has no more now: the driver takes what there is, and asks again.
            if made < wanted.len() {
                break;
            }
        }
        // Nobody else is to see what the guest got.
        self.buffer.fill(0);
        Ok(written as u32)
    }
}

impl<E: Entropy> VirtioDevice for Rng<E> {
    const NAME: &'static str = "virtio entropy";
    const ID: u16 = 4;
    const CLASS: u32 = 0xff_0000;

    fn queues(&self) -> u16 {
        1
    }

    fn queue_size(&self) -> u16 {
        64
    }

    fn notified<M: GuestMemory>(&mut self, queue: u16, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        while queues.pop(queue, &mut self.chain)? {
            let written = self.fill(queues.memory())?;
            queues.push(queue, &self.chain, written)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
