//! Instructions that exit again and again: found by RIP, so that they are neither fetched nor decoded anew.
//!
//! An entry is trusted only as far as it can be checked in a few loads. It holds everything its decoding depended on: the address
//! space (CR3) and the registers that say how it is read, the page-table entries that the fetch went through, and the
//! instruction's bytes. All are compared at every use, so code or page tables that changed meanwhile, in whatever way, are seen at
//! once; nothing has to be invalidated. Only 64-bit code is kept, and only instructions that lie in one page.
#![allow(unsafe_code, reason = "guest memory is looked at through addresses checked when the entry was made")]

use alloc::boxed::Box;

use decoder::walk::{self, Access};
use decoder::{GuestMemory, Instruction, Intercept, Machine, Mode, PAGE_BYTES, Size};

use super::machine::Emulation;
use super::page::RunPagePointer;
use crate::guest_memory::BASE;

const ENTRIES: usize = 64;
/// Levels of page tables that an entry may have gone through: four, or fewer with large pages.
const LEVELS: usize = 4;
/// RIPs never have this value: bit 63 differs from bit 62.
const NO_RIP: u64 = 1 << 63;

/// What is known of an instruction.
#[derive(Clone, Copy)]
pub enum Known {
    /// The length of an intercepted instruction.
    Length(Intercept, u8),
    /// All of it.
    Decoded(Instruction),
}

/// What reading code depends on, besides CR3: CR0, CR4, EFER, CS's attributes, CPL.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Context {
    control: u64,
    mode: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    rip: u64,
    cr3: u64,
    context: Context,
    /// Where each page-table entry is in this process, and its value. Unused ones repeat the first.
    tables: [(u64, u64); LEVELS],
    /// Where the instruction's bytes are in this process.
    code: u64,
    /// The first 8 bytes and the next 8, and which of them belong to the instruction.
    bytes: [u64; 2],
    masks: [u64; 2],
    known: Known,
}

/// One vCPU's cache: direct-mapped.
pub struct CodeCache {
    entries: Box<[Entry]>,
    enabled: bool,
}

impl Context {
    #[inline(always)]
    fn of(page: RunPagePointer) -> Self {
        Self {
            control: page.cr0() & 0xffff_ffff | page.cr4() << 32,
            mode: page.efer() | u64::from(page.cs_attributes()) << 32 | u64::from(page.ss_attributes()) << 48,
        }
    }
}

#[inline(always)]
fn load(address: u64) -> u64 {
    // SAFETY: the address was checked to be guest memory, aligned, when the entry was made; guest memory stays mapped.
    unsafe { (address as *const u64).read_volatile() }
}

#[inline(always)]
fn load_unaligned(address: u64) -> u64 {
    // SAFETY: the same, 8 bytes within the page of the instruction; x86 loads need no alignment, and a torn one only makes a miss.
    unsafe { (address as *const u64).read_unaligned() }
}

impl Entry {
    #[inline(always)]
    fn holds(&self, page: RunPagePointer) -> bool {
        let same = self.rip == page.rip() && self.cr3 == page.cr3() && self.context == Context::of(page);
        same && self.tables.iter().all(|(address, value)| load(*address) == *value)
            && (load_unaligned(self.code) ^ self.bytes[0]) & self.masks[0] == 0
            && (self.masks[1] == 0 || (load_unaligned(self.code + 8) ^ self.bytes[1]) & self.masks[1] == 0)
    }
}

/// A mask of the low `bytes` bytes.
fn mask(bytes: u64) -> u64 {
    match bytes {
        0 => 0,
        1..8 => (1 << (8 * bytes)) - 1,
        _ => u64::MAX,
    }
}

impl CodeCache {
    /// An empty cache; one that is not `enabled` never finds anything.
    pub fn new(enabled: bool) -> Self {
        let empty = Entry {
            rip: NO_RIP,
            cr3: 0,
            context: Context { control: 0, mode: 0 },
            tables: [(0, 0); LEVELS],
            code: 0,
            bytes: [0; 2],
            masks: [0; 2],
            known: Known::Length(Intercept::Hlt, 0),
        };
        Self { entries: alloc::vec![empty; ENTRIES].into_boxed_slice(), enabled }
    }

    /// A cache without room, to stand in for one that is in use elsewhere.
    pub fn none() -> Self {
        Self { entries: Box::default(), enabled: false }
    }

    #[inline(always)]
    fn index(rip: u64) -> usize {
        (rip ^ rip >> 6) as usize % ENTRIES
    }

    /// What is known of the instruction at RIP.
    #[inline(always)]
    pub fn find(&self, page: RunPagePointer) -> Option<&Known> {
        let entry = self.entries.get(Self::index(page.rip()))?;
        entry.holds(page).then_some(&entry.known)
    }

    /// Remembers what was found out about the instruction at RIP, of which `bytes` were fetched, if it can be checked later.
    pub fn insert(
        &mut self,
        page: RunPagePointer,
        emulation: &mut Emulation<'_>,
        bytes: &[u8],
        length: u8,
        known: Known,
    ) {
        if !self.enabled {
            return;
        }
        if let Some(entry) = Self::make(page, emulation, bytes, length, known)
            && let Some(place) = self.entries.get_mut(Self::index(entry.rip))
        {
            *place = entry;
        }
    }

    fn make(
        page: RunPagePointer,
        emulation: &mut Emulation<'_>,
        bytes: &[u8],
        length: u8,
        known: Known,
    ) -> Option<Entry> {
        let rip = page.rip();
        // Sixteen bytes are compared, all of them in the instruction's page.
        if emulation.mode() != Mode::Bits64 || rip % PAGE_BYTES > PAGE_BYTES - 16 {
            return None;
        }
        let paging = emulation.paging();
        let found = walk::translate(emulation, &paging, rip, Access::fetch(emulation.cpl())).ok()?;
        let steps = found.trace.entries();
        let first = *steps.first()?;
        let mut tables = [(BASE + first.0, first.1); LEVELS];
        if steps.len() > LEVELS {
            return None;
        }
        for (place, (gpa, value)) in tables.iter_mut().zip(steps) {
            emulation.read(*gpa, Size::B8)?;
            *place = (BASE + gpa, *value);
        }
        emulation.read(found.gpa, Size::B1)?;
        let mut padded = [0u8; 16];
        padded.iter_mut().zip(bytes.iter().take(usize::from(length))).for_each(|(to, from)| *to = *from);
        let [low, high] =
            [padded.first_chunk::<8>()?, padded.last_chunk::<8>()?].map(|b| u64::from_le_bytes(*b));
        let length = u64::from(length);
        Some(Entry {
            rip,
            cr3: page.cr3(),
            context: Context::of(page),
            tables,
            code: BASE + found.gpa,
            bytes: [low, high],
            masks: [mask(length), mask(length.saturating_sub(8))],
            known,
        })
    }
}
