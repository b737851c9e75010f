//! A frame for the guest, and the buffers that it goes to.

use alloc::vec;
use alloc::vec::Vec;

use devices::guest_memory::GuestMemory;
use devices::network::{FRAME_MAX, Link, checksum};

use super::spec::{HEADER_BYTES, feature, header};
use crate::device::Queues;
use crate::queue::{Chain, RingError};

/// The most chains that a frame goes to; a driver whose buffers are so small that it takes more loses frames.
const CHAINS_MAX: usize = 16;

/// A frame on its way in, and the chains that were taken for it.
pub struct Incoming {
    bytes: Vec<u8>,
    /// Bytes of the frame with its header; 0: there is none.
    length: usize,
    /// The queue that it goes to.
    queue: u16,
    /// Those in use come first. The others are kept so that a frame takes no memory.
    chains: Vec<Chain>,
    taken: usize,
    /// How many bytes those in use have room for.
    room: usize,
}

impl Default for Incoming {
    fn default() -> Self {
        let chains = (0..CHAINS_MAX).map(|_| Chain::default()).collect();
        Self { bytes: vec![0; HEADER_BYTES + FRAME_MAX], length: 0, queue: 0, chains, taken: 0, room: 0 }
    }
}

impl Incoming {
    /// The frame is gone, and no chain is this device's any more.
    pub fn reset(&mut self) {
        (self.length, self.taken, self.room) = (0, 0, 0);
    }

    /// Whether there is a frame.
    pub fn is_there(&self) -> bool {
        self.length > 0
    }

    /// Takes a frame from the link.
    pub fn load(&mut self, link: &mut impl Link) {
        let (head, frame) = self.bytes.split_at_mut(HEADER_BYTES);
        head.fill(0);
        let bytes = <&mut [u8; FRAME_MAX]>::try_from(frame).map_or(0, |frame| link.receive(frame));
        self.length = if bytes > 0 { HEADER_BYTES + bytes.min(FRAME_MAX) } else { 0 };
    }

    /// The frame.
    pub fn frame(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..self.length).unwrap_or_default()
    }

    /// It goes to this queue.
    pub fn send_to(&mut self, queue: u16, features: u64) {
        self.queue = queue;
        // Of a frame whose sum is not right nothing is said: the guest looks for itself, and drops it.
        let is_right = features & feature::GUEST_SUM != 0 && checksum::is_right(self.frame());
        if let Some(flags) = self.bytes.first_mut() {
            *flags = if is_right { header::SUM_IS_RIGHT } else { 0 };
        }
    }

    /// Puts the frame into buffers of its queue. Returns `false` if there are too few yet. One that finds too
    /// little room in as many as it may have is lost, as on a cable.
    ///
    /// # Errors
    /// When the queue, or a buffer, is none.
    pub fn deliver<M: GuestMemory>(
        &mut self,
        queues: &mut Queues<'_, M>,
        features: u64,
    ) -> Result<bool, RingError> {
        let most = if features & feature::MERGEABLE != 0 { CHAINS_MAX } else { 1 };
        while self.room < self.length && self.taken < most {
            let Some(chain) = self.chains.get_mut(self.taken) else { break };
            if !queues.pop(self.queue, chain)? {
                return Ok(false);
            }
            self.taken += 1;
            self.room = self.room.saturating_add(chain.writable_bytes() as usize);
        }
        // Behind an error too: what is in the ring then is another driver's.
        let length = if self.room < self.length { 0 } else { self.length };
        let (taken, queue) = (self.taken, self.queue);
        self.reset();
        if let Some(buffers) = self.bytes.get_mut(header::BUFFERS) {
            *buffers = taken as u8;
        }
        let mut rest = self.bytes.get(..length).unwrap_or_default();
        for chain in self.chains.iter().take(taken) {
            let written = chain.writable().write(queues.memory(), rest)?;
            rest = rest.get(written..).unwrap_or_default();
            queues.push(queue, chain, written as u32)?;
        }
        Ok(true)
    }
}
