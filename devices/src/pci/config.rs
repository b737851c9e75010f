//! A function's configuration space: bytes and which of their bits a guest may write.

use super::bar::{BARS, Bar};
use super::spec::{CAPABILITIES, STATUS, STATUS_CAPABILITIES};
use crate::capability::Width;

/// Where the first capability goes: right after the header.
const FIRST_CAPABILITY: u16 = 0x40;

/// 256 bytes of configuration space. What lies beyond, up to 4 KiB, reads 0 (no extended capabilities).
#[derive(Clone, Debug)]
pub struct ConfigSpace {
    bytes: [u8; 256],
    writable: [u8; 256],
    pub(super) bars: [Option<Bar>; BARS],
    /// Where the next capability goes, and where its address does.
    next_capability: u16,
    last_pointer: u16,
}

/// The identity of a function.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Vendor.
    pub vendor: u16,
    /// Device.
    pub device: u16,
    /// Revision.
    pub revision: u8,
    /// Base class, sub-class, interface: `0x060000` for a host bridge.
    pub class: u32,
    /// Subsystem vendor.
    pub subsystem_vendor: u16,
    /// Subsystem.
    pub subsystem: u16,
}

impl ConfigSpace {
    /// A type 0 header with nothing in it but the identity.
    pub fn new(identity: &Identity) -> Self {
        let mut space = Self {
            bytes: [0; 256],
            writable: [0; 256],
            bars: [None; BARS],
            next_capability: FIRST_CAPABILITY,
            last_pointer: CAPABILITIES,
        };
        space.set(0x00, &identity.vendor.to_le_bytes());
        space.set(0x02, &identity.device.to_le_bytes());
        space.set(0x08, &(identity.class << 8 | u32::from(identity.revision)).to_le_bytes());
        space.set(0x2c, &identity.subsystem_vendor.to_le_bytes());
        space.set(0x2e, &identity.subsystem.to_le_bytes());
        // Command: I/O, memory, bus master, parity, SERR, INTx disable. Then cache line size and interrupt
        // line.
        space.allow(0x04, &[0x47, 0x05]);
        space.allow(0x0c, &[0xff]);
        space.allow(0x3c, &[0xff]);
        space
    }

    /// Adds a capability: what follows its ID and the address of the next one. Returns where it is; `None` if
    /// there is no room for it.
    pub fn add_capability(&mut self, id: u8, body: &[u8]) -> Option<u16> {
        let at = self.next_capability;
        // Checked before anything is written, so that a list is never left half-made.
        let end = at.checked_add(2)?.checked_add(u16::try_from(body.len()).ok()?)?;
        if usize::from(end) > self.bytes.len() {
            return None;
        }
        self.set(at, &[id, 0]);
        self.set(at + 2, body);
        // Linked only now, when what it points to is there.
        self.set(self.last_pointer, &[at as u8]);
        self.set(STATUS, &[STATUS_CAPABILITIES]);
        self.last_pointer = at + 1;
        // The two low bits of a pointer are reserved (PCI local bus specification 3.0, 6.7).
        self.next_capability = end.next_multiple_of(4);
        Some(at)
    }

    /// Sets bytes, whether the guest may write them or not. What does not fit is dropped.
    pub fn set(&mut self, offset: u16, bytes: &[u8]) {
        for (slot, byte) in self.bytes.iter_mut().skip(usize::from(offset)).zip(bytes) {
            *slot = *byte;
        }
    }

    /// Lets the guest write the bits set in `mask`.
    pub fn allow(&mut self, offset: u16, mask: &[u8]) {
        for (slot, byte) in self.writable.iter_mut().skip(usize::from(offset)).zip(mask) {
            *slot |= *byte;
        }
    }

    /// A configuration read.
    pub fn read(&self, offset: u16, width: Width) -> u32 {
        (0..4.min(width.bytes() as u16)).fold(0, |value, i| {
            let byte = self.bytes.get(usize::from(offset.wrapping_add(i))).copied().unwrap_or(0);
            value | u32::from(byte) << (8 * i)
        })
    }

    /// A configuration write.
    pub fn write(&mut self, offset: u16, width: Width, value: u32) {
        for i in 0..4.min(width.bytes() as u16) {
            let at = usize::from(offset.wrapping_add(i));
            // Beyond the 256 bytes there is nothing to write.
            if let (Some(byte), Some(mask)) = (self.bytes.get_mut(at), self.writable.get(at)) {
                *byte = *byte & !mask | (value >> (8 * i)) as u8 & mask;
            }
        }
    }
}
