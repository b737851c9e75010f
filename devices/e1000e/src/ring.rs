//! A ring of descriptors, in the registers of its queue.

use crate::registers::Registers;

/// Bytes of a descriptor.
pub const DESCRIPTOR_BYTES: u64 = 16;

/// How many descriptors are done at most at once: the access that began it waits meanwhile.
pub const AT_ONCE: u32 = 256;

/// The queue whose registers begin at an offset.
#[derive(Clone, Copy, Debug)]
pub struct Ring(pub u64);

impl Ring {
    fn word(self, registers: &Registers, at: u64) -> u32 {
        registers.get(self.0 + at)
    }

    /// How many descriptors there are: the length is in units of 128 bytes.
    fn count(self, registers: &Registers) -> u32 {
        (self.word(registers, 8) & 0xf_ff80) / DESCRIPTOR_BYTES as u32
    }

    /// The address of the next descriptor that is the controller's.
    pub fn next(self, registers: &Registers) -> Option<u64> {
        let (count, head, tail) =
            (self.count(registers), self.word(registers, 0x10), self.word(registers, 0x18));
        // Head and tail are any numbers of the guest's.
        if head >= count || tail >= count || head == tail {
            return None;
        }
        let base = u64::from(self.word(registers, 0) & !0xf) | u64::from(self.word(registers, 4)) << 32;
        Some(base.wrapping_add(u64::from(head) * DESCRIPTOR_BYTES))
    }

    /// That descriptor is done.
    pub fn advance(self, registers: &mut Registers) {
        let next = self.word(registers, 0x10).saturating_add(1);
        registers.set(self.0 + 0x10, if next >= self.count(registers) { 0 } else { next });
    }
}
