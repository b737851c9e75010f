//! Where PCI functions' BARs are. The guest moves them while other processors access them, so what changes is
//! one atomic number for each; a look-up takes no lock.
//!
//! A BAR may lie anywhere: over RAM, over what [`super::MmioMap`] has, over another BAR. RAM is accessed
//! without an exit, and who looks here asks that map first. Of two BARs that overlap, the one that was
//! claimed first is found.

use super::DeviceId;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// No address of a guest is so high: addresses have at most 52 bits.
const NOWHERE: u64 = 1 << 63;

/// A BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarClaim {
    /// Whose.
    pub device: DeviceId,
    /// Its number.
    pub bar: u8,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What was found at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarHit {
    /// The owner.
    pub device: DeviceId,
    /// The BAR's number.
    pub bar: u8,
    /// The address, from the start of the BAR.
    pub offset: u64,
    /// How many bytes of the BAR there are from here on; at least 1.
    pub remaining: u64,
}

#[derive(Debug)]
struct Place {
    base: AtomicU64,
    claim: BarClaim,
}

/// Who owns which BAR, and where it is.
#[derive(Debug, Default)]
pub struct BarMap {
    places: Vec<Place>,
}

impl BarMap {
    /// A map of these BARs, none of them anywhere.
    pub fn new(claims: impl IntoIterator<Item = BarClaim>) -> Self {
        let place = |claim| Place { base: AtomicU64::new(NOWHERE), claim };
        Self { places: claims.into_iter().map(place).collect() }
    }

    /// A BAR has been moved to an address, or is not decoded any more. An access that another processor makes
    /// at the time finds it at the old place or at the new one.
    pub fn place(&self, device: DeviceId, bar: u8, base: Option<u64>) {
        let is_it = |place: &&Place| place.claim.device == device && place.claim.bar == bar;
        if let Some(place) = self.places.iter().find(is_it) {
            // One store of one number: a look-up sees the old place or the new one, and never a mixture.
            place.base.store(base.unwrap_or(NOWHERE), Ordering::Release);
        }
    }

    /// The BAR at `gpa`. As many comparisons as there are BARs, at most.
    #[inline]
    pub fn find(&self, gpa: u64) -> Option<BarHit> {
        self.places.iter().find_map(|place| {
            // One comparison for both ends: below the base the difference is larger than any BAR.
            let offset = gpa.wrapping_sub(place.base.load(Ordering::Acquire));
            let BarClaim { device, bar, bytes } = place.claim;
            (offset < bytes).then(|| BarHit { device, bar, offset, remaining: bytes - offset })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: BarClaim = BarClaim { device: DeviceId(1), bar: 0, bytes: 0x1000 };
    const B: BarClaim = BarClaim { device: DeviceId(1), bar: 2, bytes: 0x4000 };
    const C: BarClaim = BarClaim { device: DeviceId(2), bar: 0, bytes: 0x1000 };

    fn found(map: &BarMap, gpa: u64) -> Option<(u16, u8, u64, u64)> {
        map.find(gpa).map(|hit| (hit.device.0, hit.bar, hit.offset, hit.remaining))
    }

    #[test]
    fn a_bar_is_where_it_was_put_last() {
        let map = BarMap::new([A, B, C]);
        for gpa in [0, 0x1000, 0xf000_0000, (1 << 52) - 1] {
            assert_eq!(found(&map, gpa), None, "{gpa:#x}");
        }
        map.place(DeviceId(1), 2, Some(0xf000_0000));
        map.place(DeviceId(2), 0, Some(0x80_0000_0000));
        for (gpa, hit) in [
            (0xefff_ffff, None),
            (0xf000_0000, Some((1, 2, 0, 0x4000))),
            (0xf000_3fff, Some((1, 2, 0x3fff, 1))),
            (0xf000_4000, None),
            (0x80_0000_0ffc, Some((2, 0, 0xffc, 4))),
        ] {
            assert_eq!(found(&map, gpa), hit, "{gpa:#x}");
        }
        map.place(DeviceId(1), 2, Some(0xf010_0000));
        assert_eq!(found(&map, 0xf000_0000), None);
        assert_eq!(found(&map, 0xf010_0010), Some((1, 2, 0x10, 0x3ff0)));
        map.place(DeviceId(1), 2, None);
        assert_eq!(found(&map, 0xf010_0010), None);
    }

    #[test]
    fn of_two_that_overlap_the_first_is_found() {
        let map = BarMap::new([A, C]);
        map.place(DeviceId(2), 0, Some(0x1000));
        map.place(DeviceId(1), 0, Some(0x1000));
        assert_eq!(found(&map, 0x1004), Some((1, 0, 4, 0xffc)));
        // Nobody's BAR changes nothing.
        map.place(DeviceId(3), 0, Some(0x1000));
        assert_eq!(found(&map, 0x1004), Some((1, 0, 4, 0xffc)));
    }
}
