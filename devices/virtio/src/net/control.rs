//! The queue for commands (virtio 1.2, 5.1.6.5).

use devices::guest_memory::GuestMemory;

use super::filter::Filter;
use super::spec::{command, feature};
use crate::device::Queues;
use crate::queue::{Chain, RingError};

/// The longest command: two full tables of addresses, and some more.
const BYTES_MAX: usize = 2048;

/// What commands change.
#[derive(Debug)]
pub struct Control {
    /// Which frames the guest receives.
    pub filter: Filter,
    /// How many pairs of queues are used.
    pub pairs: u16,
    /// How many there are.
    pub pairs_max: u16,
    /// What driver and device have agreed on.
    pub features: u64,
}

impl Control {
    /// As after a reset.
    pub fn new(address: [u8; 6], pairs_max: u16) -> Self {
        Self { filter: Filter::new(address), pairs: 1, pairs_max, features: 0 }
    }

    /// The queue for commands: behind all the others, as many as the driver knows of (5.1.2).
    pub fn queue(&self) -> u16 {
        2 * if self.features & feature::PAIRS != 0 { self.pairs_max } else { 1 }
    }

    /// Carries a command out. `None`: it is refused.
    fn execute(&mut self, bytes: &[u8]) -> Option<()> {
        let ([class, what], data) = bytes.split_first_chunk()?;
        // What the driver has not agreed on it knows nothing of.
        let needed = match (*class, *what) {
            (command::RECEIVE, 0..2) => feature::COMMANDS_RECEIVE,
            (command::RECEIVE, 2..command::MODES) => feature::COMMANDS_RECEIVE_MORE,
            (command::ADDRESS, command::TABLES) => feature::COMMANDS_RECEIVE,
            (command::ADDRESS, command::OWN) => feature::COMMANDS_ADDRESS,
            (command::VLAN, command::ADD | command::REMOVE) => feature::COMMANDS_VLAN,
            (command::PAIRS, command::SET) => feature::PAIRS,
            _ => return None,
        };
        if self.features & needed == 0 {
            return None;
        }
        match (*class, data) {
            (command::RECEIVE, [is_on @ 0..2]) => self.filter.set_mode(*what, *is_on != 0),
            (command::ADDRESS, _) if *what == command::TABLES => self.filter.set_tables(data),
            (command::ADDRESS, _) => {
                self.filter.address = data.try_into().ok()?;
                Some(())
            }
            (command::VLAN, [low, high]) => {
                self.filter.set_vlan(u16::from_le_bytes([*low, *high]), *what == command::ADD)
            }
            (command::PAIRS, [low, high]) => self.set_pairs(u16::from_le_bytes([*low, *high])),
            _ => None,
        }
    }

    fn set_pairs(&mut self, pairs: u16) -> Option<()> {
        if !(1..=self.pairs_max).contains(&pairs) {
            return None;
        }
        self.pairs = pairs;
        Some(())
    }

    /// Carries out what the driver has made available, a queue full of it at most. Returns whether that was
    /// all.
    ///
    /// # Errors
    /// When the queue is none, or what is in it no command.
    pub fn run<M: GuestMemory>(
        &mut self,
        chain: &mut Chain,
        queues: &mut Queues<'_, M>,
        most: u16,
    ) -> Result<bool, RingError> {
        let queue = self.queue();
        for _ in 0..most {
            if !queues.pop(queue, chain)? {
                return Ok(true);
            }
            let mut bytes = [0; BYTES_MAX];
            // A longer one would be cut, and refused as one that is none.
            let length = chain.readable_bytes() as usize;
            chain.readable().read(queues.memory(), &mut bytes)?;
            let result = bytes.get(..length).and_then(|bytes| self.execute(bytes));
            let ack = if result.is_some() { command::DONE } else { command::REFUSED };
            let written = chain.writable().write(queues.memory(), &[ack])?;
            if written == 0 {
                return Err(RingError::Request);
            }
            queues.push(queue, chain, written as u32)?;
        }
        Ok(false)
    }
}
