//! MSI-X: a table of messages, one a vector, and the bits of those that wait behind a mask (PCI Local Bus
//! 3.0, 6.8.2). Both are in a BAR of the function.

use super::config::ConfigSpace;
use super::{PciPlatform, dwords, spec};
use crate::capability::Width;
use alloc::vec;
use alloc::vec::Vec;

/// The capability's ID.
const ID: u8 = 0x11;
/// Message control: the capability is used instead of the interrupt pin.
const ENABLE: u16 = 1 << 15;
/// Message control: all vectors are masked.
const MASK_ALL: u16 = 1 << 14;
/// Vector control: the vector is masked.
const MASKED: u32 = 1 << 0;
/// Bytes of a vector's entry in the table.
pub const ENTRY_BYTES: u64 = 16;
/// The most vectors that a table may have.
pub const VECTORS_MAX: u16 = 2048;

/// Where a structure is: a BAR, and from where on in it, a multiple of 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The BAR's number.
    pub bar: u8,
    /// The first byte.
    pub offset: u32,
}

#[derive(Clone, Copy, Debug)]
struct Vector {
    address: u64,
    data: u32,
    control: u32,
    is_pending: bool,
}

/// The state of a function's MSI-X capability.
#[derive(Debug)]
pub struct MsiX {
    /// Where message control is in configuration space.
    control_at: u16,
    control: u16,
    vectors: Vec<Vector>,
}

impl MsiX {
    /// Adds the capability to a function's configuration space, with 1 to [`VECTORS_MAX`] vectors, all
    /// masked. `None` if there is no room for it, or the number is none of these.
    pub fn add(space: &mut ConfigSpace, vectors: u16, table: Place, pending: Place) -> Option<Self> {
        if !(1..=VECTORS_MAX).contains(&vectors) {
            return None;
        }
        // The field holds the number of vectors less one.
        let mut body = Vec::from((vectors - 1).to_le_bytes());
        for place in [table, pending] {
            // Both fields share a dword: the offset is a multiple of 8, and its low bits have room for the
            // BAR.
            body.extend_from_slice(&(place.offset & !7 | u32::from(place.bar & 7)).to_le_bytes());
        }
        let control_at = space.add_capability(ID, &body)? + 2;
        space.allow(control_at, &(ENABLE | MASK_ALL).to_le_bytes());
        // Masked until the driver has said where it goes.
        let vector = Vector { address: 0, data: 0, control: MASKED, is_pending: false };
        Some(Self { control_at, control: 0, vectors: vec![vector; usize::from(vectors)] })
    }

    /// How many vectors there are.
    pub fn vectors(&self) -> u16 {
        self.vectors.len() as u16
    }

    /// Whether interrupts are messages rather than the pin's level.
    pub fn is_enabled(&self) -> bool {
        self.control & ENABLE != 0
    }

    /// The function's configuration space was written.
    pub fn config_written(&mut self, space: &ConfigSpace, platform: &mut dyn PciPlatform) {
        let control = space.read(self.control_at, Width::Word) as u16;
        if control != self.control {
            self.control = control;
            // What waited behind the mask of the whole function goes now.
            self.send_pending(space, platform);
        }
    }

    /// Sends the message of a vector, or remembers it while that is masked. Nothing for a vector that there
    /// is not.
    pub fn signal(&mut self, vector: u16, space: &ConfigSpace, platform: &mut dyn PciPlatform) {
        if let Some(entry) = self.vectors.get_mut(usize::from(vector)).filter(|_| self.control & ENABLE != 0)
        {
            // What is masked is remembered, and sent when the mask goes.
            entry.is_pending = true;
            self.send_pending(space, platform);
        }
    }

    /// Sends what waits and is no longer masked. A function that may not be a bus master sends nothing
    /// (6.8.3.3).
    fn send_pending(&mut self, space: &ConfigSpace, platform: &mut dyn PciPlatform) {
        // A message is a write to memory, which only a bus master may make.
        let is_master = space.read(spec::COMMAND, Width::Word) as u16 & spec::COMMAND_BUS_MASTER != 0;
        if self.control & (ENABLE | MASK_ALL) != ENABLE || !is_master {
            return;
        }
        for vector in self.vectors.iter_mut().filter(|v| v.is_pending && v.control & MASKED == 0) {
            vector.is_pending = false;
            platform.send_msi(vector.address, vector.data);
        }
    }

    /// A load from the table. Aligned dwords and qwords are what the standard defines.
    pub fn table_read(&self, offset: u64, width: Width) -> u64 {
        dwords::read(offset, width, |offset| self.table_dword(offset))
    }

    fn table_dword(&self, offset: u64) -> u32 {
        let Some(vector) = self.vectors.get((offset / ENTRY_BYTES) as usize) else { return 0 };
        match offset % ENTRY_BYTES {
            0 => vector.address as u32,
            4 => (vector.address >> 32) as u32,
            8 => vector.data,
            _ => vector.control,
        }
    }

    /// A store to the table: aligned dwords and qwords, others are dropped.
    pub fn table_write(
        &mut self,
        offset: u64,
        width: Width,
        value: u64,
        space: &ConfigSpace,
        platform: &mut dyn PciPlatform,
    ) {
        // Whole dwords or qwords alone are defined (PCI local bus specification 3.0, 6.8.2).
        if dwords::write(offset, width, value, |offset, value| self.set_table_dword(offset, value)) {
            // The store may have taken a mask away.
            self.send_pending(space, platform);
        }
    }

    fn set_table_dword(&mut self, offset: u64, value: u32) {
        let Some(vector) = self.vectors.get_mut((offset / ENTRY_BYTES) as usize) else { return };
        match offset % ENTRY_BYTES {
            // A message is an aligned dword.
            0 => vector.address = vector.address & !0xffff_ffff | u64::from(value & !3),
            4 => vector.address = vector.address & 0xffff_ffff | u64::from(value) << 32,
            8 => vector.data = value,
            _ => vector.control = value & MASKED,
        }
    }

    /// A load from the pending bits; they can't be written.
    pub fn pending_read(&self, offset: u64, width: Width) -> u64 {
        let first = offset.saturating_mul(8);
        let bit = |i: u64| {
            let at = usize::try_from(first.saturating_add(i)).unwrap_or(usize::MAX);
            u64::from(self.vectors.get(at).is_some_and(|vector| vector.is_pending)) << i
        };
        (0..8 * width.bytes()).map(bit).sum()
    }
}

#[cfg(test)]
mod tests;
