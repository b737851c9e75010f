//! The network device (virtio 1.2, 5.1): one pair of queues, Ethernet frames, no offloads.

pub mod spec;

use alloc::vec;
use alloc::vec::Vec;

use devices::guest_memory::GuestMemory;
use devices::network::{FRAME_MAX, Link};

use crate::device::{Queues, VirtioDevice};
use crate::queue::{Chain, RingError};
use spec::queue::{RECEIVE, SEND};
use spec::{BUFFERS, HEADER_BYTES, LINK_UP, feature};

/// Descriptors of a queue.
const QUEUE_SIZE: u16 = 256;

/// A network device.
pub struct Net<L> {
    // Configuration.
    link: L,
    address: [u8; 6],
    // Glue, kept from frame to frame.
    chain: Chain,
    buffer: Vec<u8>,
}

impl<L: Link> Net<L> {
    /// A device with this MAC address.
    pub fn new(link: L, address: [u8; 6]) -> Self {
        Self { link, address, chain: Chain::default(), buffer: vec![0; HEADER_BYTES + FRAME_MAX] }
    }

    /// The other end.
    pub fn link(&self) -> &L {
        &self.link
    }

    /// Frames that are too long, or have no header, go nowhere.
    fn send<M: GuestMemory>(&mut self, memory: &M) -> Result<(), RingError> {
        // Of all that the guest sends, or a frame that is too long would go out cut.
        let bytes = self.chain.readable_bytes() as usize;
        // Of a frame that is too long as much as the buffer holds; below it is dropped for its length.
        self.chain.readable().read(memory, &mut self.buffer)?;
        if let Some(frame) = self.buffer.get(HEADER_BYTES..bytes).filter(|frame| !frame.is_empty()) {
            self.link.send(frame);
        }
        Ok(())
    }

    /// Sends what the guest has made available. Where there is no room, chains stay in the queue until there
    /// is.
    fn send_all<M: GuestMemory>(&mut self, queues: &mut Queues<'_, M>) -> Result<bool, RingError> {
        // As many as a queue has: another vCPU may add to them without end, and this one is to go on.
        for _ in 0..QUEUE_SIZE {
            // Room is asked for first: a chain that was taken could not be put back.
            if !self.link.has_room() || !queues.pop(SEND, &mut self.chain)? {
                return Ok(true);
            }
            self.send(queues.memory())?;
            queues.push(SEND, &self.chain, 0)?;
        }
        Ok(false)
    }

    /// Frames that find too little room are lost, as on a cable.
    fn receive_all<M: GuestMemory>(&mut self, queues: &mut Queues<'_, M>) -> Result<bool, RingError> {
        for _ in 0..QUEUE_SIZE {
            // In this order: a chain that was taken must be given back, with nothing in it if there is no
            // frame.
            if !self.link.has_frame() || !queues.pop(RECEIVE, &mut self.chain)? {
                return Ok(true);
            }
            let (header, frame) = self.buffer.split_at_mut(HEADER_BYTES);
            // Frames that the guest sends use the buffer too.
            header.fill(0);
            if let Some(buffers) = header.get_mut(BUFFERS) {
                *buffers = 1;
            }
            let length = <&mut [u8; FRAME_MAX]>::try_from(frame).map_or(0, |frame| self.link.receive(frame));
            let whole = self.buffer.get(..HEADER_BYTES + length.min(FRAME_MAX)).unwrap_or_default();
            let has_room = whole.len() <= self.chain.writable_bytes() as usize;
            let whole = if length > 0 && has_room { whole } else { &[] };
            let written = self.chain.writable().write(queues.memory(), whole)?;
            queues.push(RECEIVE, &self.chain, written as u32)?;
        }
        Ok(false)
    }

    fn work<M: GuestMemory>(&mut self, sends: bool, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        let sent = if sends { self.send_all(queues) } else { Ok(true) };
        let result = sent.and_then(|is_all| Ok(self.receive_all(queues)? && is_all));
        // Behind an error too: what was sent before it is on its way.
        self.link.finish(*result.as_ref().unwrap_or(&true));
        result.map(drop)
    }
}

impl<L: Link> VirtioDevice for Net<L> {
    const NAME: &'static str = "virtio network";
    const ID: u16 = 1;
    const CLASS: u32 = 0x02_0000;

    fn features(&self) -> u64 {
        feature::MAC | feature::STATUS
    }

    fn queues(&self) -> u16 {
        2
    }

    fn queue_size(&self) -> u16 {
        QUEUE_SIZE
    }

    fn config(&self, offset: u64) -> u8 {
        match offset {
            0..6 => self.address.get(offset as usize).copied().unwrap_or(0),
            6 if self.link.is_up() => LINK_UP,
            _ => 0,
        }
    }

    fn notified<M: GuestMemory>(&mut self, queue: u16, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        self.work(queue == SEND, queues)
    }

    fn input<M: GuestMemory>(&mut self, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        self.work(true, queues)
    }

    fn attend(&mut self) -> bool {
        self.link.attend()
    }
}

#[cfg(test)]
mod tests;
