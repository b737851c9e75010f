//! Instructions that exit again and again: found by RIP, so that they are neither fetched nor decoded anew.
//!
//! An entry is trusted only as far as it can be checked in a few loads. It holds everything its decoding
//! depended on: the address space (CR3) and the code segment, the page-table entries that the fetch went
//! through, and the instruction's bytes. All are compared at every use, so code or page tables that changed
//! meanwhile, in whatever way, are seen at once. What says how they are read (CR0, CR4, EFER) changes by the
//! VMM's own hand alone, which then forgets everything ([`Emulator::paging_changes`](super::Emulator)). What
//! the processor checked itself when it fetched the instruction, its right to, is not compared. Only 64-bit
//! code is kept, and only instructions that lie in one page.
#![allow(
    unsafe_code,
    reason = "the guest's code is looked at through addresses checked when the entry was made"
)]

use alloc::boxed::Box;

use decoder::walk::{self, Access};
use decoder::{Instruction, Intercept, Machine, Mode, PAGE_BYTES, Plain};

use super::Surroundings;
use super::machine::VcpuMachine;
use super::table_path::TablePath;
use crate::vcpu::page::View;

const ENTRIES: usize = 64;

#[inline(always)]
fn load_unaligned(address: u64) -> u64 {
    // SAFETY: the address was checked to be guest memory when the entry was made, with 8 bytes left in the
    // page; guest memory stays mapped. x86 loads need no alignment, and a torn one only makes a miss.
    unsafe { (address as *const u64).read_unaligned() }
}

/// What tells an instruction again, of at most `WORDS` times eight bytes.
#[derive(Clone, Copy)]
pub struct Key<const WORDS: usize> {
    rip: u64,
    cr3: u64,
    cs_attributes: u16,
    path: TablePath,
    /// Where the instruction's bytes are in this process.
    code: u64,
    /// Those bytes, and which of each word belong to the instruction.
    bytes: [(u64, u64); WORDS],
}

impl<const WORDS: usize> Key<WORDS> {
    /// Of no instruction: RIP is canonical.
    const NONE: Self = Self {
        rip: 1 << 63,
        cr3: 0,
        cs_attributes: 0,
        path: TablePath::NONE,
        code: 0,
        bytes: [(0, 0); WORDS],
    };

    /// Of the instruction at RIP, whose bytes these are; if it can be checked later.
    pub fn of<S: Surroundings>(emulation: &mut VcpuMachine<'_, S>, bytes: &[u8]) -> Option<Self> {
        let rip = emulation.page().rip();
        // All bytes that are compared lie in the instruction's page.
        let last = PAGE_BYTES - 8 * WORDS as u64;
        // Other code has a base in CS and may have table entries of four bytes, neither of which is compared.
        if emulation.mode() != Mode::Bits64 || rip % PAGE_BYTES > last || bytes.len() > 8 * WORDS {
            return None;
        }
        let paging = emulation.paging();
        // Walked again for the entries that it goes through, which the fetch does not keep. If they have
        // changed since, nothing is wrong: the bytes are compared at each use.
        let found = walk::translate(emulation, &paging, rip, Access::fetch(emulation.cpl())).ok()?;
        let path = TablePath::of(&found.trace, emulation.ram())?;
        let code = emulation.ram().address(found.gpa, 8 * WORDS as u64)?;
        let mut words = [(0, 0); WORDS];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
            let mut padded = [[0; 8]; 2];
            padded[0].iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            padded[1].iter_mut().take(chunk.len()).for_each(|to| *to = 0xff);
            *word = (u64::from_le_bytes(padded[0]), u64::from_le_bytes(padded[1]));
        }
        let page = emulation.page().view();
        let (cr3, cs_attributes) = (page.cr3(), page.cs_attributes());
        Some(Self { rip, cr3, cs_attributes, path, code, bytes: words })
    }

    #[inline(always)]
    fn holds(&self, page: View<'_>) -> bool {
        // These three tell nearly all others apart, before anything of the guest's memory is touched.
        self.rip == page.rip()
            && self.cr3 == page.cr3()
            && self.cs_attributes == page.cs_attributes()
            && self.path.holds()
            && (self.code..).step_by(8).zip(&self.bytes).all(|(address, (value, mask))| {
                // Few instructions are longer than a word.
                *mask == 0 || (load_unaligned(address) ^ value) & mask == 0
            })
    }
}

/// One vCPU's cache: direct-mapped.
pub struct CodeCache<T, const WORDS: usize>(Box<[(Key<WORDS>, T); ENTRIES]>);

impl<T: Copy, const WORDS: usize> CodeCache<T, WORDS> {
    /// A cache that knows nothing; `filler` is never found. `None` if there is no memory.
    pub fn new(filler: T) -> Option<Self> {
        let entries = alloc::vec![(Key::NONE, filler); ENTRIES].into_boxed_slice();
        Some(Self(entries.try_into().ok()?))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.iter_mut().for_each(|(key, _)| *key = Key::NONE);
    }

    #[inline(always)]
    fn index(rip: u64) -> usize {
        rip as usize % ENTRIES
    }

    /// What is known of the instruction at RIP.
    #[inline(always)]
    pub fn find(&self, page: View<'_>) -> Option<&T> {
        let (key, known) = &self.0[Self::index(page.rip())];
        key.holds(page).then_some(known)
    }

    /// Remembers what was found out about an instruction.
    pub fn insert(&mut self, key: Key<WORDS>, known: T) {
        self.0[Self::index(key.rip)] = (key, known);
    }
}

/// The lengths of intercepted instructions.
pub type Lengths = CodeCache<(Intercept, u8), 1>;

/// An instruction that accesses devices.
#[derive(Clone, Copy)]
pub struct Known {
    /// It.
    pub instruction: Instruction,
    /// What the decoder's short cut needs of it, if that may be taken.
    pub plain: Option<Plain>,
}

impl From<Instruction> for Known {
    fn from(instruction: Instruction) -> Self {
        Self { instruction, plain: instruction.plain() }
    }
}

/// Instructions that access devices.
pub type Decoded = CodeCache<Known, 2>;
