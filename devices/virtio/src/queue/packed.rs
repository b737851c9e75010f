//! Packed rings: one ring of descriptors, which driver and device write in turn (virtio 1.2, 2.8).

use core::sync::atomic::{Ordering, fence};

use devices::guest_memory::GuestMemory;

use super::chain::{Chain, DESCRIPTOR_BYTES, Descriptor, INDIRECT, NEXT, WRITE};
use super::split::indirect_entries;
use super::{Areas, Format, RingError, has_passed, is_aligned};

/// Descriptor flag: available, if it is as the driver's wrap counter.
const AVAILABLE: u16 = 1 << 7;
/// Descriptor flag: used, if it is as the device's wrap counter.
const USED: u16 = 1 << 15;
/// Where a descriptor's length, ID and flags are.
const LENGTH: u64 = 8;
const ID: u64 = 12;
const FLAGS: u64 = 14;
/// Event suppression: where the flags are, after the descriptor's index.
const EVENT_FLAGS: u64 = 2;
/// Event suppression, flags: events are wanted.
const ENABLE: u16 = 0;
/// Event suppression, flags: no events are wanted.
const DISABLE: u16 = 1;
/// Event suppression, flags: an event is wanted for a certain descriptor.
const DESCRIPTOR: u16 = 2;
/// Event suppression, index: the wrap counter.
const WRAP: u16 = 1 << 15;

/// A place in the ring, and the wrap counter there.
#[derive(Clone, Copy, Debug)]
struct Place {
    index: u16,
    wrap: bool,
}

impl Place {
    const FIRST: Self = Self { index: 0, wrap: true };

    /// `steps` are at most `size`.
    fn advance(self, steps: u16, size: u16) -> Self {
        let index = u32::from(self.index) + u32::from(steps);
        match index.checked_sub(size.into()) {
            Some(index) => Self { index: index as u16, wrap: !self.wrap },
            None => Self { index: index as u16, ..self },
        }
    }

    fn to_word(self) -> u16 {
        self.index | if self.wrap { WRAP } else { 0 }
    }
}

#[derive(Debug)]
pub(super) struct Packed {
    size: u16,
    areas: Areas,
    format: Format,
    available: Place,
    used: Place,
    /// Descriptors given back since an interrupt was last considered.
    unconsidered: u16,
}

impl Packed {
    pub fn new(size: u16, areas: Areas, format: Format) -> Result<Self, RingError> {
        // A wrap counter takes one bit of an index.
        if size > WRAP {
            return Err(RingError::Index);
        }
        if !is_aligned(areas, [16, 4, 4]) {
            return Err(RingError::Alignment);
        }
        // Nothing that is added to them below overflows.
        if [areas.descriptors, areas.driver, areas.device].iter().any(|gpa| *gpa > u64::MAX >> 1) {
            return Err(RingError::NotMemory);
        }
        Ok(Self { size, areas, format, available: Place::FIRST, used: Place::FIRST, unconsidered: 0 })
    }

    fn at(&self, place: Place) -> u64 {
        self.areas.descriptors + u64::from(place.index) * u64::from(DESCRIPTOR_BYTES)
    }

    pub fn pop(&mut self, memory: &impl GuestMemory, chain: &mut Chain) -> Result<bool, RingError> {
        let flags = memory.load_u16(self.at(self.available) + FLAGS)?;
        let [available, used] = [AVAILABLE, USED].map(|flag| flags & flag != 0);
        // Available is a descriptor whose first flag is as the wrap counter and whose second is not (2.8.1).
        if available != self.available.wrap || used == self.available.wrap {
            return Ok(false);
        }
        // What the driver wrote before the first descriptor's flags is seen after them.
        fence(Ordering::Acquire);
        chain.clear();
        let (mut place, mut flags) = (self.available, flags);
        loop {
            let Descriptor { gpa, bytes, words: [id, later] } = Descriptor::read(memory, self.at(place))?;
            // The first one's were read before.
            if chain.descriptors > 0 {
                flags = later;
            }
            // With NEXT in each of them the chain goes round for ever.
            if chain.descriptors == self.size {
                return Err(RingError::Chain);
            }
            chain.descriptors += 1;
            // That of the last one counts (2.8.6).
            chain.id = id;
            place = place.advance(1, self.size);
            match flags & INDIRECT != 0 {
                true => self.collect(memory, gpa, bytes, flags, chain)?,
                false => chain.add(gpa, bytes, flags)?,
            }
            if flags & NEXT == 0 {
                break;
            }
        }
        // Only now: of a chain that was refused nothing is taken.
        self.available = place;
        Ok(true)
    }

    /// An indirect table: its descriptors are all used, in order.
    fn collect(
        &self,
        memory: &impl GuestMemory,
        table: u64,
        bytes: u32,
        flags: u16,
        chain: &mut Chain,
    ) -> Result<(), RingError> {
        // A table is a chain of its own: nothing stands before it or behind it in the ring.
        if !self.format.indirect || flags & NEXT != 0 || chain.descriptors > 1 {
            return Err(RingError::Indirect);
        }
        for index in 0..indirect_entries(bytes)? {
            // The product fits: `indirect_entries` has bounded the index.
            let at = table.checked_add(u64::from(index * DESCRIPTOR_BYTES)).ok_or(RingError::NotMemory)?;
            let Descriptor { gpa, bytes, words: [_, flags] } = Descriptor::read(memory, at)?;
            if flags & INDIRECT != 0 {
                return Err(RingError::Indirect);
            }
            chain.add(gpa, bytes, flags)?;
        }
        Ok(())
    }

    pub fn ask_for_notification(&mut self, memory: &impl GuestMemory) -> Result<(), RingError> {
        // Without event indices it is never said that none is wanted: the area is the device's alone, but the
        // driver may have left anything there.
        let flags = if self.format.event_index { DESCRIPTOR } else { ENABLE };
        memory.store_u16(self.areas.device, self.available.to_word())?;
        fence(Ordering::Release);
        memory.store_u16(self.areas.device + EVENT_FLAGS, flags)?;
        // The driver sees it, or its descriptor is seen at the next look.
        fence(Ordering::SeqCst);
        Ok(())
    }

    pub fn push(&mut self, memory: &impl GuestMemory, chain: &Chain, written: u32) -> Result<(), RingError> {
        let at = self.at(self.used);
        // The address stays as the driver left it, which looks at ID, length and flags alone.
        memory.write(at + LENGTH, &written.to_le_bytes())?;
        memory.store_u16(at + ID, chain.id)?;
        let wrap = if self.used.wrap { AVAILABLE | USED } else { 0 };
        let is_written = if written > 0 { WRITE } else { 0 };
        // All of it, and what was written into the buffers, is there before the flags.
        fence(Ordering::Release);
        memory.store_u16(at + FLAGS, wrap | is_written)?;
        // One descriptor tells of the whole chain, and both sides pass over the rest.
        self.used = self.used.advance(chain.descriptors, self.size);
        self.unconsidered = self.unconsidered.saturating_add(chain.descriptors);
        Ok(())
    }

    pub fn wants_interrupt(&mut self, memory: &impl GuestMemory) -> Result<bool, RingError> {
        let given = core::mem::take(&mut self.unconsidered);
        if given == 0 {
            return Ok(false);
        }
        // The driver sees the descriptors, or what it asked for since is seen here.
        fence(Ordering::SeqCst);
        let flags = memory.load_u16(self.areas.driver + EVENT_FLAGS)?;
        // A driver that asks for a certain one without having agreed to that gets each.
        if flags != DESCRIPTOR || !self.format.event_index {
            return Ok(flags != DISABLE);
        }
        // The driver writes the index before the flags: so it is read behind them.
        fence(Ordering::Acquire);
        let word = memory.load_u16(self.areas.driver)?;
        let mut event = word & !WRAP;
        if (word & WRAP != 0) != self.used.wrap {
            // It is of the round before, in which indices are smaller by the ring's size.
            event = event.wrapping_sub(self.size);
        }
        let new = self.used.index;
        Ok(has_passed(event, new, new.wrapping_sub(given)))
    }
}
