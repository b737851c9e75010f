//! Dispatch: which device owns a port or a physical address.
//!
//! Two maps, built once at start from *claims* and never changed after: [`PortMap`] and [`MmioMap`]. A claim
//! gives a range to a [`DeviceId`], a plain index into whatever table of devices the VMM keeps; the maps own
//! no device and take no lock. Two claims that overlap are a mistake of the VMM's and a [`ClaimError`]; what
//! nobody claims is absent. PCI functions' BARs, which a guest moves, are in a third map, [`BarMap`], for
//! what the second does not have.
//!
//! An access that touches two owners (or an owner and nothing) is cut into bytes, each given to its own
//! owner, lowest first; absent bytes read all-ones. An access whose first and last byte have one owner goes
//! to it whole: so a dword at CF8h reaches the PCI host although CF9h, the reset register, is somebody
//! else's, and a byte at CF9h does not.

mod bars;
mod bytewise;
mod mmio;
mod port;

pub use bars::{BarClaim, BarHit, BarMap};
pub use bytewise::{read_bytes, write_bytes};
pub use mmio::{Hit, MmioClaim, MmioMap};
pub use port::{PortClaim, PortMap};

/// The index of a device in the VMM's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u16);

/// Why a set of claims makes no map. To blame: the VMM's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimError {
    /// The range has no bytes.
    Empty {
        /// Who claimed it.
        device: DeviceId,
    },
    /// The range runs past the end of the address space.
    OutOfRange {
        /// Who claimed it.
        device: DeviceId,
    },
    /// Two claims share an address.
    Overlap {
        /// Who claimed it first (MMIO: who claimed the lower start).
        first: DeviceId,
        /// Who claimed it then.
        second: DeviceId,
        /// An address both claim.
        at: u64,
    },
    /// The device's index is reserved for "absent".
    ReservedId,
}

impl core::fmt::Display for ClaimError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Empty { device } => write!(f, "device {} claims an empty range", device.0),
            Self::OutOfRange { device } => write!(f, "device {} claims past the end of the space", device.0),
            Self::Overlap { first, second, at } => {
                write!(f, "devices {} and {} both claim {at:#x}", first.0, second.0)
            }
            Self::ReservedId => write!(f, "device index ffffh stands for absent"),
        }
    }
}

impl core::error::Error for ClaimError {}

#[cfg(test)]
mod tests;
