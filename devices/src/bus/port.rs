//! The I/O port space: a table with one entry a port. 128 KiB buys a lookup of one load.

use super::{ClaimError, DeviceId};
use crate::capability::{PortRange, Width};
use alloc::{boxed::Box, vec};

const PORTS: usize = 0x1_0000;
const ABSENT: u16 = u16::MAX;

/// A device's wish for `count` ports from `first` on.
#[derive(Clone, Copy, Debug)]
pub struct PortClaim {
    /// Who.
    pub device: DeviceId,
    /// The first port.
    pub first: u16,
    /// How many.
    pub count: u16,
}

impl PortClaim {
    /// One claim for each of a device's ranges.
    pub fn each(device: DeviceId, ranges: &[PortRange]) -> impl Iterator<Item = Self> {
        ranges.iter().map(move |range| Self { device, first: range.first, count: range.count })
    }
}

/// Who owns which port.
pub struct PortMap {
    owners: Box<[u16; PORTS]>,
}

impl PortMap {
    /// Builds the map.
    pub fn new(claims: &[PortClaim]) -> Result<Self, ClaimError> {
        // Made on the heap: an array of this size on the stack would not fit a thread's.
        let Ok(mut owners) = <Box<[u16; PORTS]>>::try_from(vec![ABSENT; PORTS].into_boxed_slice()) else {
            unreachable!("it was made with that length");
        };
        for claim in claims {
            let device = claim.device;
            // The number that means nobody.
            if device.0 == ABSENT {
                return Err(ClaimError::ReservedId);
            }
            if claim.count == 0 {
                return Err(ClaimError::Empty { device });
            }
            let first = usize::from(claim.first);
            let range = owners
                .get_mut(first..first + usize::from(claim.count))
                .ok_or(ClaimError::OutOfRange { device })?;
            for (i, owner) in range.iter_mut().enumerate() {
                // Two owners would make the answer depend on the order in which devices were added.
                if *owner != ABSENT {
                    let at = (first + i) as u64;
                    return Err(ClaimError::Overlap { first: DeviceId(*owner), second: device, at });
                }
                *owner = device.0;
            }
        }
        Ok(Self { owners })
    }

    /// The owner of one port; `None` if it is absent.
    #[inline]
    pub fn owner(&self, port: u16) -> Option<DeviceId> {
        // In bounds for every port: the table has as many entries as there are ports.
        let id = self.owners[usize::from(port)];
        (id != ABSENT).then_some(DeviceId(id))
    }

    /// The one owner of a whole access, or `None` if it is absent or must be split. A caller in a hurry tries
    /// this and falls back on [`Self::read`] or [`Self::write`], which take any access.
    #[inline]
    pub fn sole_owner(&self, port: u16, width: Width) -> Option<DeviceId> {
        let first = self.owner(port)?;
        if width == Width::Byte {
            return Some(first);
        }
        // An access that leaves the space at its end has no owner as a whole, and is split.
        let last = port.checked_add(width.bytes() as u16 - 1)?;
        (self.owner(last) == Some(first)).then_some(first)
    }

    /// An `IN`, split if it must be. `access` is asked once for each part.
    #[inline]
    pub fn read(&self, port: u16, width: Width, mut access: impl FnMut(DeviceId, u16, Width) -> u32) -> u32 {
        if let Some(owner) = self.sole_owner(port, width) {
            return access(owner, port, width);
        }
        // The access crosses an edge between owners, or reaches a port of nobody: each byte goes its own way.
        super::read_bytes(port, width, |p| match self.owner(p) {
            Some(owner) => access(owner, p, Width::Byte) as u8,
            None => 0xff,
        })
    }

    /// An `OUT`, split if it must be. `access` is told once for each part.
    #[inline]
    pub fn write(
        &self,
        port: u16,
        width: Width,
        value: u32,
        mut access: impl FnMut(DeviceId, u16, Width, u32),
    ) {
        if let Some(owner) = self.sole_owner(port, width) {
            return access(owner, port, width, value);
        }
        super::write_bytes(port, width, value, |p, byte| {
            if let Some(owner) = self.owner(p) {
                access(owner, p, Width::Byte, u32::from(byte));
            }
        });
    }
}
