//! Leaf 0Dh: which state XSAVE saves and how much room that takes.

use super::{Leaf, features};

/// The legacy area and the header.
const BASE_BYTES: u32 = 576;
/// Components the table looks at: those below the highest bit of [`features::XCR0`].
pub const COMPONENTS: u32 = 10;

/// The state components the guest may enable and where each lies.
#[derive(Clone, Copy, Debug, Default)]
pub struct XsaveAreas {
    /// Allowed bits of XCR0; 0 if there is no XSAVE.
    pub xcr0: u64,
    /// Size and offset of each component from 2 on, as EAX and EBX of its subleaf; flags in ECX.
    areas: [Leaf; COMPONENTS as usize],
}

impl XsaveAreas {
    /// What the host has, cut down to what is understood (of [`features::XCR0`]), consistent, and within
    /// `room` bytes.
    pub fn new(xsave: bool, understood: u64, room: u32, host: &mut dyn FnMut(u32, u32) -> Leaf) -> Self {
        let mut made = Self::default();
        if !xsave {
            return made;
        }
        let main = host(0x0d, 0);
        let offered = (u64::from(main.edx) << 32 | u64::from(main.eax)) & understood;
        // x87 and SSE come with XSAVE itself.
        made.xcr0 = 3;
        for component in 2..COMPONENTS {
            let area = host(0x0d, component);
            // What has no room in the run page could be neither saved nor loaded.
            let fits = area.eax.checked_add(area.ebx).is_some_and(|end| end <= room);
            if offered & 1 << component != 0 && fits && area.eax > 0 && area.ebx >= BASE_BYTES {
                made.xcr0 |= 1 << component;
                if let Some(slot) = made.areas.get_mut(component as usize) {
                    // ECX bit 1: aligned to 64 bytes when compacted. Bit 0, supervisor state, is not for
                    // XCR0.
                    *slot = Leaf { ecx: area.ecx & 2, edx: 0, ..area };
                }
            }
        }
        made.drop_incomplete();
        made
    }

    /// AVX-512 needs all of its three components and AVX.
    fn drop_incomplete(&mut self) {
        let wanted = features::XCR0_AVX512 | features::XCR0_AVX;
        // The three states of AVX-512 go together, and with that of AVX (SDM 1, 13.3).
        if self.xcr0 & wanted != wanted {
            self.xcr0 &= !features::XCR0_AVX512;
        }
    }

    /// Bytes of the standard-format area for the components in `enabled`.
    pub fn standard_bytes(&self, enabled: u64) -> u32 {
        self.enabled_areas(enabled).map(|area| area.eax + area.ebx).max().unwrap_or(0).max(BASE_BYTES)
    }

    /// Bytes of the compacted area for the components in `enabled`.
    pub fn compacted_bytes(&self, enabled: u64) -> u32 {
        self.enabled_areas(enabled).fold(BASE_BYTES, |end, area| {
            // The compacted form has no fixed places: each follows the one before, aligned where it asks for
            // that.
            let start = if area.ecx & 2 != 0 { end.next_multiple_of(64) } else { end };
            start + area.eax
        })
    }

    fn enabled_areas(&self, enabled: u64) -> impl Iterator<Item = &Leaf> {
        // What the guest has set in XCR0 was checked, but this table must not index by it in any case.
        let enabled = enabled & self.xcr0;
        self.areas.iter().enumerate().filter(move |(i, _)| *i >= 2 && enabled & 1 << i != 0).map(|(_, a)| a)
    }

    /// Subleaf 0; EBX, which follows XCR0, is filled in at the exit.
    pub fn main_leaf(&self) -> Leaf {
        if self.xcr0 == 0 {
            return Leaf::default();
        }
        let largest = self.standard_bytes(self.xcr0);
        // None of the components understood is beyond bit 31.
        Leaf { eax: self.xcr0 as u32, ebx: largest, ecx: largest, edx: 0 }
    }

    /// Subleaf of a component.
    pub fn component(&self, index: u32) -> Leaf {
        match self.areas.get(index as usize) {
            Some(area) if self.xcr0 & 1 << index != 0 => *area,
            _ => Leaf::default(),
        }
    }
}
