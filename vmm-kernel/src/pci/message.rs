//! A function's table of messages, MSI-X (PCI local bus specification 3.0, 6.8.2). The kernel writes it; the
//! pages where it lies are mapped in no process.

use core::ops::Range;

use vcpu_abi::status::Status;
use x86_64::PhysAddr;
use x86_64::structures::paging::PhysFrame;

use super::bars::Places;
use super::config::{CAPABILITIES, COMMAND, Config, HAS_CAPABILITIES};
use crate::layout::PAGE;
use crate::memory::temporary;

/// The capability's ID.
const MSI_X: u32 = 0x11;
/// The most capabilities there is room for: a list that is longer goes in a circle.
const CAPABILITIES_MAX: usize = 48;
/// In the capability's first double word: messages are sent.
const ENABLE: u32 = 1 << 31;
/// The same: none is sent although they are enabled.
const MASK_ALL: u32 = 1 << 30;
/// Size of an entry: address, data, and in the last double word bit 0, by which it is masked.
const ENTRY_BYTES: u32 = 16;

/// Where the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Where in configuration space its capability is.
    capability: u8,
    /// Its BAR.
    pub bar: usize,
    /// First byte in there.
    offset: u32,
    /// How many entries it has, at most 2048.
    entries: u16,
}

/// Finds the capability with an ID.
fn find_capability(config: &impl Config, id: u32) -> Option<u8> {
    if config.read(COMMAND) & HAS_CAPABILITIES == 0 {
        return None;
    }
    let mut at = config.read(CAPABILITIES) as u8 & !3;
    for _ in 0..CAPABILITIES_MAX {
        // Below are the registers of the header: a list that leads there has ended, or is none.
        if at < 0x40 {
            return None;
        }
        let first = config.read(at);
        if first & 0xff == id {
            return Some(at);
        }
        at = (first >> 8) as u8 & !3;
    }
    None
}

impl Table {
    /// Finds the table of a function whose BARs have been placed, if it has one and all of it lies in one of
    /// them.
    pub fn find(config: &impl Config, places: &Places) -> Option<Self> {
        let capability = find_capability(config, MSI_X)?;
        // The capability has three double words.
        let place = config.read(capability.checked_add(4).filter(|_| capability <= 0xf4)?);
        let entries = (config.read(capability) >> 16 & 0x7ff) as u16 + 1;
        let (bar, offset) = ((place & 7) as usize, place & !7);
        let end = offset.checked_add(u32::from(entries) * ENTRY_BYTES)?;
        let bytes = places.get(bar)?.bytes;
        // The kernel will write there, and behind the BAR are others' registers.
        (end <= bytes).then_some(Self { capability, bar, offset, entries })
    }

    /// The pages of its BAR that have something of it.
    pub fn pages(&self) -> Range<u64> {
        let (start, end) =
            (u64::from(self.offset), u64::from(self.offset + u32::from(self.entries) * ENTRY_BYTES));
        start & !(PAGE - 1)..end.next_multiple_of(PAGE)
    }

    /// The entry that a process names.
    ///
    /// # Errors
    /// NotFound: there is none.
    pub fn check(&self, entry: u32) -> Result<u16, Status> {
        u16::try_from(entry).ok().filter(|entry| *entry < self.entries).ok_or(Status::NotFound)
    }

    /// Has messages sent from now on, by those entries that are written; or none.
    pub fn enable(&self, config: &impl Config, enable: bool) {
        let rest = config.read(self.capability) & !(ENABLE | MASK_ALL);
        config.write(self.capability, if enable { rest | ENABLE } else { rest });
    }

    /// Writes an entry and unmasks it.
    pub fn set(&self, places: &Places, entry: u16, address: u64, data: u32) {
        // Masked while address and data change: a message of one half of each could go anywhere.
        self.mask(places, entry);
        self.set_word(places, entry, 0, address);
        self.set_word(places, entry, 1, u64::from(data));
    }

    /// Has an entry sent no more.
    pub fn mask(&self, places: &Places, entry: u16) {
        // The mask lies in the upper half of that word. The data in the lower one goes with it, and nobody
        // needs it any more.
        self.set_word(places, entry, 1, 1 << 32);
    }

    /// Has no entry sent, of which firmware or the host may have left some unmasked.
    pub fn mask_all(&self, places: &Places) {
        let Some(placed) = places.get(self.bar) else { return };
        let base = u64::from(placed.address);
        // One mapping for all entries of a page: there may be 2048 of them, and nothing preempts this.
        for page in self.pages().step_by(PAGE as usize) {
            let frame = PhysFrame::containing_address(PhysAddr::new_truncate(base + page));
            temporary::with_device_page(frame, |words| {
                self.controls(page).for_each(|word| words.at(word).set(1 << 32));
            });
        }
    }

    /// The words of a page of its BAR that hold entries' masks (and the data of their messages).
    fn controls(&self, page: u64) -> impl Iterator<Item = usize> {
        let first = u64::from(self.offset) + 8;
        let all = (0..u64::from(self.entries)).map(move |entry| first + entry * u64::from(ENTRY_BYTES));
        all.filter(move |at| (page..page + PAGE).contains(at)).map(|at| (at % PAGE / 8) as usize)
    }

    fn set_word(&self, places: &Places, entry: u16, word: u32, value: u64) {
        let Some(placed) = places.get(self.bar) else { return };
        let offset = self.offset + u32::from(entry) * ENTRY_BYTES + word * 8;
        let at = u64::from(placed.address) + u64::from(offset);
        let page = PhysFrame::containing_address(PhysAddr::new_truncate(at));
        temporary::with_device_page(page, |words| words.at((at % PAGE / 8) as usize).set(value));
    }
}

#[cfg(test)]
mod tests;
