//! Messages of the host's PCI functions as events: a vector of the first processor for each.
//!
//! A message is a write to the local APIC's address, which a function makes when its table of messages
//! (MSI-X) says so (Intel SDM volume 3, 12.11). Whoever is on the host's side may send any of these vectors
//! at any time: an event may be signalled without a reason.

use vcpu_abi::status::Status;

use super::Event;
use crate::cpu::per_cpu;
use crate::object::pool::Ref;
use crate::sync::SpinLock;

/// The first vector; the others follow. Below those of the host's lines.
const FIRST_VECTOR: u8 = 0x40;
/// How many messages may be bound.
const COUNT: usize = 64;
/// Where a message goes that is for the local APIC with ID 0; the ID is in bits 19:12.
const ADDRESS: u64 = 0xfee0_0000;

static BOUND: [SpinLock<Option<Ref<Event>>>; COUNT] = [const { SpinLock::new(None) }; COUNT];

/// A vector that signals an event, until it is dropped.
pub struct Message {
    index: u8,
}

impl Message {
    /// A vector of an event's own.
    ///
    /// # Errors
    /// Exhausted: all are bound.
    pub fn try_new(event: Ref<Event>) -> Result<Self, Status> {
        for (index, place) in BOUND.iter().enumerate() {
            let mut bound = place.lock();
            if bound.is_none() {
                *bound = Some(event);
                return Ok(Self { index: index as u8 });
            }
        }
        Err(Status::Exhausted)
    }

    /// Another event is signalled from now on.
    pub fn rebind(&self, event: Ref<Event>) {
        let before = BOUND.get(usize::from(self.index)).and_then(|place| place.lock().replace(event));
        drop(before);
    }

    /// What a function has to write, and where: address and data.
    ///
    /// # Errors
    /// WrongState: the first processor is not one that a message can name.
    pub fn words(&self) -> Result<(u64, u32), Status> {
        let first = per_cpu::of(0).ok_or(Status::WrongState)?;
        // A message's address has eight bits for the destination (Intel SDM volume 3, 12.11.1); more would
        // take interrupt remapping.
        let id = u8::try_from(first.apic_id).map_err(|_| Status::WrongState)?;
        Ok((ADDRESS | u64::from(id) << 12, u32::from(FIRST_VECTOR) + u32::from(self.index)))
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        let before = BOUND.get(usize::from(self.index)).and_then(|place| place.lock().take());
        drop(before);
    }
}

/// Whether a vector is one of these.
pub fn is_one(vector: u8) -> bool {
    usize::from(vector.wrapping_sub(FIRST_VECTOR)) < COUNT
}

/// A message came in.
pub fn interrupt(vector: u8) {
    let place = BOUND.get(usize::from(vector.wrapping_sub(FIRST_VECTOR)));
    // One that is bound to nothing was on its way when it was taken back, or is the host's nonsense.
    if let Some(event) = place.and_then(|place| place.lock().clone()) {
        event.signal();
    }
}

#[cfg(test)]
mod tests;
