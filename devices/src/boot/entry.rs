//! The first CPU's state at the kernel's entry, and the tables that state needs in guest memory.
//!
//! Long mode with identity-mapped 4 GiB for the 64-bit entry (boot.rst, "64-bit Boot Protocol"), flat
//! protected mode without paging for the 32-bit one.

use super::layout;
use alloc::vec::Vec;

/// A segment register with its hidden part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Selector.
    pub selector: u16,
    /// Base address.
    pub base: u64,
    /// Limit in bytes.
    pub limit: u32,
    /// Descriptor bits 55:52 and 47:40, packed into 12 bits (as in a VMCB: APM 2, 15.5.1).
    pub attributes: u16,
}

/// How the kernel is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryMode {
    /// Long mode.
    Long64,
    /// Protected mode without paging.
    Protected32,
}

/// The state of the first CPU. Registers not named are zero; RFLAGS is 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryState {
    /// Which mode.
    pub mode: EntryMode,
    /// RIP.
    pub rip: u64,
    /// RAX: by which loader of multiboot it is entered.
    pub rax: u64,
    /// RBX: the address of what PVH and multiboot tell.
    pub rbx: u64,
    /// RSI: the address of `boot_params`.
    pub rsi: u64,
    /// RSP. The protocol does not ask for a stack; this one has room for an interrupt frame and a little
    /// more.
    pub rsp: u64,
    /// CR0.
    pub cr0: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// EFER, as the guest sees it.
    pub efer: u64,
    /// GDTR base.
    pub gdt_base: u64,
    /// GDTR limit.
    pub gdt_limit: u16,
    /// CS.
    pub code: Segment,
    /// DS, ES, FS, GS and SS.
    pub data: Segment,
    /// TR.
    pub task: Segment,
}

const PRESENT_WRITE: u64 = 0x3;
const LARGE: u64 = 0x80;
/// GiB that the page tables map: all that is below 4 GiB.
const MAPPED_GIB: u64 = 4;

/// The protocol's selectors: __BOOT_CS and __BOOT_DS.
const CODE: u16 = 0x10;
const DATA: u16 = 0x18;
const TASK: u16 = 0x20;

/// Null, null, code, data, task. The code segment is 64-bit or 32-bit as the mode asks.
pub(super) fn gdt(mode: EntryMode) -> Vec<u8> {
    let code: u64 = match mode {
        // Present, code, accessed; L in one, D in the other, as both together are reserved.
        EntryMode::Long64 => 0x00af_9b00_0000_ffff,
        EntryMode::Protected32 => 0x00cf_9b00_0000_ffff,
    };
    [0, 0, code, 0x00cf_9300_0000_ffff, 0x0000_8b00_0000_0067u64, 0]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect()
}

/// PML4, PDPT and four page directories of 2 MiB pages, from [`layout::PAGE_TABLES`] on.
pub(super) fn page_tables() -> Vec<u8> {
    let table = |index: u64| layout::PAGE_TABLES + index * 4096;
    let mut entries = Vec::from([0u64; 512 * (2 + MAPPED_GIB as usize)]);
    let mut put = |index: u64, value: u64| {
        if let Some(slot) = entries.get_mut(index as usize) {
            *slot = value | PRESENT_WRITE;
        }
    };
    // By identity, as the protocol asks for at the 64-bit entry; the kernel makes tables of its own at
    // once.
    put(0, table(1));
    for gib in 0..MAPPED_GIB {
        put(512 + gib, table(2 + gib));
        for large in 0..512 {
            put(512 * (2 + gib) + large, gib << 30 | large << 21 | LARGE);
        }
    }
    entries.into_iter().flat_map(u64::to_le_bytes).collect()
}

impl EntryState {
    /// The state for a kernel whose first instruction is at `rip`.
    pub(super) fn new(mode: EntryMode, rip: u64) -> Self {
        let flat = |selector, attributes| Segment { selector, base: 0, limit: u32::MAX, attributes };
        let long = mode == EntryMode::Long64;
        Self {
            mode,
            rip,
            rax: 0,
            rbx: 0,
            rsi: 0,
            rsp: layout::STACK_TOP,
            // PE, ET; PG for long mode.
            cr0: if long { 0x8000_0011 } else { 0x11 },
            cr3: if long { layout::PAGE_TABLES } else { 0 },
            // PAE.
            cr4: if long { 0x20 } else { 0 },
            // LME, LMA.
            efer: if long { 0x500 } else { 0 },
            gdt_base: layout::GDT,
            gdt_limit: 6 * 8 - 1,
            code: flat(CODE, if long { 0xa9b } else { 0xc9b }),
            data: flat(DATA, 0xc93),
            task: Segment { selector: TASK, base: 0, limit: 0x67, attributes: 0x08b },
        }
    }
}
