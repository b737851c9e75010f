//! The console device (virtio 1.2, 5.3): one port, bytes both ways.

use alloc::vec;
use alloc::vec::Vec;

use devices::guest_memory::GuestMemory;

use crate::device::{Queues, VirtioDevice};
use crate::queue::{Chain, RingError};

/// The queue of what the guest receives.
const RECEIVE: u16 = 0;
/// The queue of what it sends.
const SEND: u16 = 1;
/// Bytes that are copied at once.
const BUFFER_BYTES: usize = 256;

/// What is at the other end.
pub trait Terminal: Send {
    /// Takes what the guest has sent.
    fn take(&mut self, bytes: &[u8]);
    /// Whether there is something for the guest.
    fn has_input(&self) -> bool;
    /// Gives what there is for the guest, from the buffer's start. Returns how many bytes.
    fn give(&mut self, bytes: &mut [u8]) -> usize;
}

/// A console.
pub struct Console<T> {
    // Configuration.
    terminal: T,
    // Glue, kept from call to call.
    chain: Chain,
    buffer: Vec<u8>,
}

impl<T: Terminal> Console<T> {
    /// A console with that at its other end.
    pub fn new(terminal: T) -> Self {
        Self { terminal, chain: Chain::default(), buffer: vec![0; BUFFER_BYTES] }
    }

    /// The other end.
    pub fn terminal(&self) -> &T {
        &self.terminal
    }

    fn send<M: GuestMemory>(&mut self, memory: &M) -> Result<(), RingError> {
        let mut data = self.chain.readable();
        loop {
            // In parts, as the guest says how long its buffers are.
            let part = data.read(memory, &mut self.buffer)?;
            match self.buffer.get(..part) {
                Some(part) if !part.is_empty() => self.terminal.take(part),
                _ => return Ok(()),
            }
        }
    }

    /// Gives the guest what there is for it, as far as it has room.
    fn receive<M: GuestMemory>(&mut self, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        // In this order: a chain that was taken must be given back.
        while self.terminal.has_input() && queues.pop(RECEIVE, &mut self.chain)? {
            let mut data = self.chain.writable();
            let mut written = 0;
            while self.terminal.has_input() {
                let room = self.buffer.len().min(data.left() as usize);
                let Some(room) = self.buffer.get_mut(..room) else { break };
                // A terminal that says more than there was room for must not reach behind the buffer.
                let given = self.terminal.give(room).min(room.len());
                // No room for more, or a terminal that has input and gives none: neither may hold the vCPU.
                if given == 0 {
                    break;
                }
                written += data.write(queues.memory(), room.get(..given).unwrap_or_default())?;
            }
            queues.push(RECEIVE, &self.chain, written as u32)?;
        }
        Ok(())
    }
}

impl<T: Terminal> VirtioDevice for Console<T> {
    const NAME: &'static str = "virtio console";
    const ID: u16 = 3;
    const CLASS: u32 = 0x07_8000;

    fn queues(&self) -> u16 {
        2
    }

    fn queue_size(&self) -> u16 {
        64
    }

    fn notified<M: GuestMemory>(&mut self, queue: u16, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        while queue == SEND && queues.pop(SEND, &mut self.chain)? {
            self.send(queues.memory())?;
            queues.push(SEND, &self.chain, 0)?;
        }
        // Room for more, or an answer to what was sent.
        self.receive(queues)
    }
}

#[cfg(test)]
mod tests;
