//! Split rings: a table of descriptors, and two rings of indices into it (virtio 1.2, 2.7).

use core::sync::atomic::{Ordering, fence};

use devices::guest_memory::GuestMemory;

use super::chain::{Chain, DESCRIPTOR_BYTES, Descriptor, INDIRECT, NEXT};
use super::{Areas, CHAIN_MAX, Format, RingError, has_passed, is_aligned};

/// Available ring, flags: the driver wants no interrupts.
const NO_INTERRUPT: u16 = 1 << 0;
/// Where the indices are, and the elements: from the start of a ring.
const INDEX: u64 = 2;
const ELEMENTS: u64 = 4;

#[derive(Debug)]
pub(super) struct Split {
    size: u16,
    areas: Areas,
    format: Format,
    /// The next element of the available ring; indices run freely.
    next_available: u16,
    next_used: u16,
    /// What `next_used` was when an interrupt was last considered.
    considered: u16,
}

impl Split {
    pub fn new(size: u16, areas: Areas, format: Format) -> Result<Self, RingError> {
        if !is_aligned(areas, [16, 2, 4]) {
            return Err(RingError::Alignment);
        }
        // Nothing that is added to them below overflows.
        if [areas.descriptors, areas.driver, areas.device].iter().any(|gpa| *gpa > u64::MAX >> 1) {
            return Err(RingError::NotMemory);
        }
        Ok(Self { size, areas, format, next_available: 0, next_used: 0, considered: 0 })
    }

    /// The size is a power of two.
    fn slot(&self, index: u16) -> u64 {
        u64::from(index & (self.size - 1))
    }

    pub fn pop(&mut self, memory: &impl GuestMemory, chain: &mut Chain) -> Result<bool, RingError> {
        let available = memory.load_u16(self.areas.driver + INDEX)?;
        match available.wrapping_sub(self.next_available) {
            0 => return Ok(false),
            // Else the device would serve elements that the driver has long had back.
            ahead if ahead > self.size => return Err(RingError::Index),
            _ => {}
        }
        // What the driver wrote before the index is seen after it.
        fence(Ordering::Acquire);
        let element = self.areas.driver + ELEMENTS + 2 * self.slot(self.next_available);
        let head = memory.load_u16(element)?;
        // All of it is collected and checked before any of it is carried out.
        self.collect(memory, head, chain)?;
        self.next_available = self.next_available.wrapping_add(1);
        Ok(true)
    }

    /// Follows a chain through the table, and through an indirect one.
    fn collect(&self, memory: &impl GuestMemory, head: u16, chain: &mut Chain) -> Result<(), RingError> {
        chain.clear();
        chain.id = head;
        let (mut table, mut entries, mut is_indirect) = (self.areas.descriptors, u32::from(self.size), false);
        let mut index = u32::from(head);
        // A chain may lead back into itself.
        for _ in 0..=CHAIN_MAX + usize::from(self.size) {
            if index >= entries {
                return Err(RingError::Chain);
            }
            let at = table.checked_add(u64::from(index * DESCRIPTOR_BYTES)).ok_or(RingError::NotMemory)?;
            let Descriptor { gpa, bytes, words: [flags, next] } = Descriptor::read(memory, at)?;
            if flags & INDIRECT != 0 {
                // No table in a table, and none in the middle of a chain (2.7.5.3.1): that could go on
                // without end.
                if is_indirect || !self.format.indirect || flags & NEXT != 0 {
                    return Err(RingError::Indirect);
                }
                // From here on indices are of the other table, and so is their bound.
                entries = indirect_entries(bytes)?;
                (table, index, is_indirect) = (gpa, 0, true);
                continue;
            }
            chain.add(gpa, bytes, flags)?;
            if flags & NEXT == 0 {
                return Ok(());
            }
            index = next.into();
        }
        Err(RingError::Chain)
    }

    pub fn ask_for_notification(&mut self, memory: &impl GuestMemory) -> Result<(), RingError> {
        // Without event indices it is never said that none is wanted.
        if self.format.event_index {
            let event = self.areas.device + ELEMENTS + 8 * u64::from(self.size);
            memory.store_u16(event, self.next_available)?;
            // The driver sees it, or its index is seen at the next look.
            fence(Ordering::SeqCst);
        }
        Ok(())
    }

    pub fn push(&mut self, memory: &impl GuestMemory, chain: &Chain, written: u32) -> Result<(), RingError> {
        let element = u64::from(chain.id) | u64::from(written) << 32;
        let at = self.areas.device + ELEMENTS + 8 * self.slot(self.next_used);
        memory.write(at, &element.to_le_bytes())?;
        self.next_used = self.next_used.wrapping_add(1);
        // The element, and what was written into the buffers, is there before the index.
        fence(Ordering::Release);
        Ok(memory.store_u16(self.areas.device + INDEX, self.next_used)?)
    }

    pub fn wants_interrupt(&mut self, memory: &impl GuestMemory) -> Result<bool, RingError> {
        let before = core::mem::replace(&mut self.considered, self.next_used);
        if before == self.next_used {
            return Ok(false);
        }
        // The driver sees the index, or what it asked for since is seen here.
        fence(Ordering::SeqCst);
        if self.format.event_index {
            // The flag says nothing then (2.7.7.2).
            let event = memory.load_u16(self.areas.driver + ELEMENTS + 2 * u64::from(self.size))?;
            return Ok(has_passed(event, self.next_used, before));
        }
        Ok(memory.load_u16(self.areas.driver)? & NO_INTERRUPT == 0)
    }
}

/// How many descriptors an indirect table of so many bytes has.
pub(super) fn indirect_entries(bytes: u32) -> Result<u32, RingError> {
    let entries = bytes / DESCRIPTOR_BYTES;
    let is_table = bytes.is_multiple_of(DESCRIPTOR_BYTES) && (1..=CHAIN_MAX as u32).contains(&entries);
    is_table.then_some(entries).ok_or(RingError::Indirect)
}
