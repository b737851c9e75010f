//! What a virtio device is to its transport.

use devices::guest_memory::GuestMemory;

use crate::queue::{Chain, Queue, RingError};

/// A virtio device.
pub trait VirtioDevice: Send {
    /// What messages call it.
    const NAME: &'static str;
    /// The device ID (virtio 1.2, 5).
    const ID: u16;
    /// PCI class, sub-class and interface: `0x010000`.
    const CLASS: u32;

    /// The features that it offers, without those of transport and rings.
    fn features(&self) -> u64 {
        0
    }
    /// Driver and device have agreed on these features, those of transport and rings among them. Until the
    /// next [`reset`](Self::reset) they stay.
    fn agreed(&mut self, _features: u64) {}
    /// How many queues it has: 1 to 64.
    fn queues(&self) -> u16;
    /// The most descriptors of each: a power of two.
    fn queue_size(&self) -> u16;
    /// A byte of its configuration; 0 behind the end.
    fn config(&self, _offset: u64) -> u8 {
        0
    }
    /// The driver has made something available in a queue.
    ///
    /// # Errors
    /// When the queue can't be used any more: the driver has to reset the device.
    fn notified<M: GuestMemory>(&mut self, queue: u16, queues: &mut Queues<'_, M>) -> Result<(), RingError>;
    /// What is behind the device has signalled that there is something for it. Not called while the device is
    /// not running: what comes then waits.
    ///
    /// # Errors
    /// When a queue can't be used any more: the driver has to reset the device.
    fn input<M: GuestMemory>(&mut self, _queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        Ok(())
    }
    /// What is behind the device has signalled: called before [`input`](Self::input), whether the device runs
    /// or not. Returns whether its configuration has changed.
    fn attend(&mut self) -> bool {
        false
    }
    /// The driver has reset the device: no chain that it has taken is its any more, and it must not touch
    /// their buffers.
    fn reset(&mut self) {}
}

/// A device's queues, and the memory that they are in, during one call.
pub struct Queues<'a, M> {
    queues: &'a mut [Queue],
    memory: &'a M,
    /// Which queues something was given back in, a bit each.
    touched: u64,
}

impl<'a, M: GuestMemory> Queues<'a, M> {
    pub(crate) fn new(queues: &'a mut [Queue], memory: &'a M) -> Self {
        Self { queues, memory, touched: 0 }
    }

    /// Guest memory.
    pub fn memory(&self) -> &'a M {
        self.memory
    }

    /// The next chain of a queue; see [`Queue::pop`].
    ///
    /// # Errors
    /// When the driver has made a ring that is none.
    pub fn pop(&mut self, queue: u16, chain: &mut Chain) -> Result<bool, RingError> {
        match self.queues.get_mut(usize::from(queue)) {
            Some(queue) => queue.pop(self.memory, chain),
            None => Ok(false),
        }
    }

    /// Gives a chain back, into whose buffers so many bytes were written.
    ///
    /// # Errors
    /// When the ring is not in memory.
    pub fn push(&mut self, queue: u16, chain: &Chain, written: u32) -> Result<(), RingError> {
        if let Some(ring) = self.queues.get_mut(usize::from(queue)) {
            self.touched |= 1u64.checked_shl(queue.into()).unwrap_or(0);
            ring.push(self.memory, chain, written)?;
        }
        Ok(())
    }

    pub(crate) fn touched(&self) -> u64 {
        self.touched
    }
}
