//! Base address registers: what a function has in memory, and where the guest puts it (PCI Local Bus 3.0,
//! 6.2.5).

use super::config::ConfigSpace;
use super::spec::{COMMAND, COMMAND_MEMORY};
use crate::capability::Width;

/// How many base address registers a function has.
pub const BARS: usize = 6;

/// How wide the address of a BAR is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// 32 bits.
    Memory32,
    /// 64 bits: the register after it is its upper half.
    Memory64,
}

/// A BAR: memory of so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// How wide its address is.
    pub kind: BarKind,
    /// Its size: a power of two, and at least a page, so that nothing else is in its last page.
    pub bytes: u64,
}

/// Offset of BAR 0.
const FIRST: u16 = 0x10;
/// The bits of a memory BAR that are not the address.
const FLAGS: u64 = 0xf;

fn register(index: u8) -> u16 {
    FIRST + 4 * u16::from(index)
}

impl ConfigSpace {
    /// Gives the function a BAR, at address 0. One of a size that none can have, or where there is no
    /// register for it, is left out.
    ///
    /// The guest finds its size the usual way: it writes ones and looks which of them stay.
    #[must_use]
    pub fn with_bar(mut self, index: u8, bar: Bar) -> Self {
        let registers = if bar.kind == BarKind::Memory64 { 2 } else { 1 };
        let has_room = usize::from(index) + registers <= BARS;
        if !bar.bytes.is_power_of_two() || bar.bytes < 4096 || bar.bytes > 1 << 31 || !has_room {
            return self;
        }
        // Bits below the size stay zero whatever is written: that is how a guest finds the size.
        let writable = !(bar.bytes - 1);
        match bar.kind {
            BarKind::Memory32 => self.allow(register(index), &(writable as u32).to_le_bytes()),
            BarKind::Memory64 => {
                // The type field: 64 bits wide, and not prefetchable.
                self.set(register(index), &[0b100]);
                self.allow(register(index), &writable.to_le_bytes());
            }
        }
        if let Some(slot) = self.bars.get_mut(usize::from(index)) {
            *slot = Some(bar);
        }
        self
    }

    /// The BARs, and their numbers.
    pub fn bars(&self) -> impl Iterator<Item = (u8, Bar)> + '_ {
        (0..).zip(self.bars).filter_map(|(index, bar)| Some((index, bar?)))
    }

    /// What the registers of a BAR say of its address, decoded or not.
    pub fn bar_address(&self, index: u8) -> u64 {
        let low = u64::from(self.read(register(index), Width::Dword)) & !FLAGS;
        match self.bars.get(usize::from(index)) {
            Some(Some(Bar { kind: BarKind::Memory64, .. })) => {
                low | u64::from(self.read(register(index + 1), Width::Dword)) << 32
            }
            _ => low,
        }
    }

    /// Where a BAR is. `None` while memory accesses are not decoded, or there is no such BAR.
    pub fn bar_base(&self, index: u8) -> Option<u64> {
        (*self.bars.get(usize::from(index))?)?;
        let is_decoded = self.read(COMMAND, Width::Word) as u16 & COMMAND_MEMORY != 0;
        is_decoded.then(|| self.bar_address(index))
    }

    /// Puts a BAR at an address, as firmware does: a multiple of its size.
    pub fn place_bar(&mut self, index: u8, address: u64) {
        self.write(register(index), Width::Dword, address as u32);
        if let Some(Some(Bar { kind: BarKind::Memory64, .. })) = self.bars.get(usize::from(index)) {
            self.write(register(index + 1), Width::Dword, (address >> 32) as u32);
        }
    }
}
