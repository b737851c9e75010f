//! The network device (virtio 1.2, 5.1).
//!
//! What it does in the place of the guest it does itself: checksums ([`send`], [`receive`]), TCP segments,
//! and which frames are received ([`filter`]). So what is behind it carries frames of an ordinary size and
//! knows of none of that. Segments are not put together for the guest: the frames that come have an ordinary
//! size, and the guest's own kernel does as much.

mod control;
mod filter;
mod flows;
mod receive;
mod send;
pub mod spec;

use devices::guest_memory::GuestMemory;
use devices::network::Link;

use crate::device::{Queues, VirtioDevice};
use crate::queue::{Chain, RingError};
use control::Control;
use flows::Flows;
use receive::Incoming;
use send::Outgoing;
use spec::{config, feature, queue};

/// Descriptors of a queue.
const QUEUE_SIZE: u16 = 256;
/// The most pairs of queues.
pub const PAIRS_MAX: u16 = 8;
/// Bytes of the longest packet in a frame.
const MTU: u16 = 1500;

/// A network device.
pub struct Net<L> {
    // Configuration.
    link: L,
    address: [u8; 6],
    pairs_max: u16,
    // Volatile state.
    control: Control,
    flows: Flows,
    outgoing: Outgoing,
    incoming: Incoming,
    /// Glue, kept from frame to frame.
    chain: Chain,
}

impl<L: Link> Net<L> {
    /// A device with this MAC address and at most so many pairs of queues: 1 to [`PAIRS_MAX`].
    pub fn new(link: L, address: [u8; 6], pairs: u16) -> Self {
        let pairs_max = pairs.clamp(1, PAIRS_MAX);
        Self {
            link,
            address,
            pairs_max,
            control: Control::new(address, pairs_max),
            flows: Flows::default(),
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            chain: Chain::default(),
        }
    }

    /// The other end.
    pub fn link(&self) -> &L {
        &self.link
    }

    /// Sends what the guest has made available in a queue. Where there is no room, chains stay in the queue
    /// until there is. Returns whether that was all for now.
    fn send_all<M: GuestMemory>(&mut self, pair: u16, queues: &mut Queues<'_, M>) -> Result<bool, RingError> {
        // As many as a queue has: another vCPU may add to them without end, and this one is to go on.
        let mut frames = usize::from(QUEUE_SIZE);
        for _ in 0..QUEUE_SIZE {
            if !self.outgoing.flush(&mut self.link, &mut frames) {
                return Ok(frames > 0);
            }
            // Room is asked for first: a chain that was taken could not be put back.
            if !self.link.has_room() || !queues.pop(2 * pair + queue::SEND, &mut self.chain)? {
                return Ok(true);
            }
            self.outgoing.load(queues.memory(), &self.chain, self.control.features)?;
            if self.control.pairs > 1 {
                self.flows.sent(self.outgoing.frame(), pair);
            }
            queues.push(2 * pair + queue::SEND, &self.chain, 0)?;
        }
        Ok(false)
    }

    /// Gives the guest what there is for it. A frame that finds no buffers stays until there are some.
    fn receive_all<M: GuestMemory>(&mut self, queues: &mut Queues<'_, M>) -> Result<bool, RingError> {
        let features = self.control.features;
        for _ in 0..QUEUE_SIZE {
            if !self.incoming.is_there() {
                if !self.link.has_frame() {
                    return Ok(true);
                }
                self.incoming.load(&mut self.link);
                if !self.control.filter.wants(self.incoming.frame()) {
                    self.incoming.reset();
                    continue;
                }
                let pair = match self.control.pairs {
                    1 => 0,
                    pairs => self.flows.pair(self.incoming.frame(), pairs),
                };
                self.incoming.send_to(2 * pair + queue::RECEIVE, features);
            }
            if !self.incoming.deliver(queues, features)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sends what is in the queues of these pairs, and receives.
    fn work<M: GuestMemory>(
        &mut self,
        pairs: core::ops::Range<u16>,
        queues: &mut Queues<'_, M>,
    ) -> Result<(), RingError> {
        let mut sent = Ok(true);
        for pair in pairs {
            sent = sent.and_then(|is_all| Ok(self.send_all(pair, queues)? && is_all));
        }
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
        let sums = feature::SUM | feature::GUEST_SUM;
        let cuts = feature::CUTS_V4 | feature::CUTS_V6 | feature::CUTS_ECN;
        let commands = feature::COMMANDS
            | feature::COMMANDS_RECEIVE
            | feature::COMMANDS_RECEIVE_MORE
            | feature::COMMANDS_VLAN
            | feature::COMMANDS_ADDRESS;
        let pairs = if self.pairs_max > 1 { feature::PAIRS } else { 0 };
        let more = feature::MAC | feature::STATUS | feature::MTU | feature::MERGEABLE;
        sums | cuts | commands | pairs | more
    }

    fn agreed(&mut self, features: u64) {
        self.control.features = features;
        if features & feature::COMMANDS_VLAN != 0 {
            self.control.filter.filter_vlans();
        }
    }

    fn queues(&self) -> u16 {
        2 * self.pairs_max + 1
    }

    fn queue_size(&self) -> u16 {
        QUEUE_SIZE
    }

    fn config(&self, offset: u64) -> u8 {
        let byte = |value: u16, at: u64| (value >> (8 * (at % 2))) as u8;
        match offset {
            0..config::ADDRESS_BYTES => {
                self.control.filter.address.get(offset as usize).copied().unwrap_or(0)
            }
            config::STATUS if self.link.is_up() => config::LINK_UP,
            config::PAIRS..config::MTU => byte(self.pairs_max, offset),
            config::MTU..12 => byte(MTU, offset),
            _ => 0,
        }
    }

    fn notified<M: GuestMemory>(&mut self, queue: u16, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        if queue == self.control.queue() {
            let is_all = self.control.run(&mut self.chain, queues, QUEUE_SIZE)?;
            if !is_all {
                self.link.finish(false);
            }
            return Ok(());
        }
        let pair = queue / 2;
        let is_send = queue % 2 == queue::SEND && pair < self.control.pairs;
        self.work(if is_send { pair..pair + 1 } else { 0..0 }, queues)
    }

    fn input<M: GuestMemory>(&mut self, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        let is_all = self.control.run(&mut self.chain, queues, QUEUE_SIZE)?;
        self.work(0..self.control.pairs, queues)?;
        if !is_all {
            self.link.finish(false);
        }
        Ok(())
    }

    fn attend(&mut self) -> bool {
        self.link.attend()
    }

    fn reset(&mut self) {
        self.control = Control::new(self.address, self.pairs_max);
        self.flows = Flows::default();
        self.outgoing.reset();
        self.incoming.reset();
    }
}

#[cfg(test)]
mod tests;
