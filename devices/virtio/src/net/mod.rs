//! The network device (virtio 1.2, 5.1): one pair of queues, Ethernet frames, no offloads.

use alloc::vec;
use alloc::vec::Vec;

use devices::guest_memory::GuestMemory;

use crate::device::{Queues, VirtioDevice};
use crate::queue::{Chain, RingError};

/// The queue of frames that the guest receives.
const RECEIVE: u16 = 0;
/// The queue of frames that it sends.
const SEND: u16 = 1;
/// Bytes in front of each frame (5.1.6): all zero but the last two, the number of buffers, when received.
const HEADER_BYTES: usize = 12;
/// Where that number is.
const BUFFERS: usize = 10;
/// The longest frame: MTU 1500, Ethernet header, VLAN tag.
pub const FRAME_MAX: usize = 1518;
/// Feature: the device says its address.
const FEATURE_MAC: u64 = 1 << 5;
/// Feature: the device says whether the link is up.
const FEATURE_STATUS: u64 = 1 << 16;
/// Configuration: the link is up.
const LINK_UP: u8 = 1;

/// What is at the other end of the cable.
pub trait Link: Send {
    /// Takes a frame that the guest has sent.
    fn send(&mut self, frame: &[u8]);
    /// Gives the next frame for the guest, from the buffer's start. Returns its length, 0 if there is none.
    fn receive(&mut self, frame: &mut [u8; FRAME_MAX]) -> usize;
    /// Whether there is one.
    fn has_frame(&self) -> bool;
}

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
        self.chain.readable().read(memory, &mut self.buffer)?;
        if let Some(frame) = self.buffer.get(HEADER_BYTES..bytes).filter(|frame| !frame.is_empty()) {
            self.link.send(frame);
        }
        Ok(())
    }

    /// Frames that find too little room are lost, as on a cable.
    fn receive<M: GuestMemory>(&mut self, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        // In this order: a chain that was taken must be given back, with nothing in it if there is no frame.
        while self.link.has_frame() && queues.pop(RECEIVE, &mut self.chain)? {
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
        Ok(())
    }
}

impl<L: Link> VirtioDevice for Net<L> {
    const NAME: &'static str = "virtio network";
    const ID: u16 = 1;
    const CLASS: u32 = 0x02_0000;

    fn features(&self) -> u64 {
        FEATURE_MAC | FEATURE_STATUS
    }

    fn queues(&self) -> u16 {
        2
    }

    fn queue_size(&self) -> u16 {
        256
    }

    fn config(&self, offset: u64) -> u8 {
        match offset {
            0..6 => self.address.get(offset as usize).copied().unwrap_or(0),
            6 => LINK_UP,
            _ => 0,
        }
    }

    fn notified<M: GuestMemory>(&mut self, queue: u16, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        while queue == SEND && queues.pop(SEND, &mut self.chain)? {
            self.send(queues.memory())?;
            queues.push(SEND, &self.chain, 0)?;
        }
        self.receive(queues)
    }
}

#[cfg(test)]
mod tests;
