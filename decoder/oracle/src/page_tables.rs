//! Guest page tables for tests, laid out from the manuals' figures and from nothing of the decoder's
//! (APM 2, figures 5-3 to 5-25).

use crate::TestMachine;

/// A paging mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Two levels of 32-bit entries.
    Bits32,
    /// Physical address extension.
    Pae,
    /// Long mode with four levels.
    Four,
    /// Long mode with five levels.
    Five,
}

impl Style {
    /// All of them.
    pub const ALL: [Style; 4] = [Style::Bits32, Style::Pae, Style::Four, Style::Five];

    /// From the root down: where a level's index starts, and how many bits it has.
    pub fn levels(self) -> &'static [(u32, u32)] {
        match self {
            Style::Bits32 => &[(22, 10), (12, 10)],
            Style::Pae => &[(30, 2), (21, 9), (12, 9)],
            Style::Four => &[(39, 9), (30, 9), (21, 9), (12, 9)],
            Style::Five => &[(48, 9), (39, 9), (30, 9), (21, 9), (12, 9)],
        }
    }

    /// Bytes an entry has.
    pub fn entry_bytes(self) -> u64 {
        if self == Style::Bits32 { 4 } else { 8 }
    }
}

/// A set of page tables in a machine's RAM.
#[derive(Clone, Copy, Debug)]
pub struct Builder {
    style: Style,
    next_table: u64,
    root: u64,
}

impl Builder {
    /// Tables from physical address `base` on, empty so far; sets the machine's control registers to use
    /// them.
    pub fn new(machine: &mut TestMachine, style: Style, base: u64) -> Builder {
        machine.paging.cr3 = base;
        // PG, PE, and WP, without which the supervisor's writes would be allowed everywhere.
        machine.paging.cr0 |= 0x8001_0001;
        let (cr4, efer) = match style {
            Style::Bits32 => (0x10, 0),
            Style::Pae => (0x20, 0x800),
            Style::Four => (0x20, 0xd00),
            Style::Five => (0x1020, 0xd00),
        };
        // PSE, PAE and LA57: the others are the test's.
        machine.paging.cr4 = (machine.paging.cr4 & !0x1030) | cr4;
        machine.paging.efer = efer;
        machine.put(base, &[0; 4096]);
        Builder { style, next_table: base + 0x1000, root: base }
    }

    /// Maps the page of `linear` to `physical` with `flags` in the leaf; `depth` is how many levels are used,
    /// fewer than there are for a large page. Tables made on the way get present, writable and user (a PAE
    /// root: present). Returns the addresses of the entries from the root to the leaf.
    pub fn map(
        &mut self,
        machine: &mut TestMachine,
        linear: u64,
        physical: u64,
        flags: u64,
        depth: usize,
    ) -> Vec<u64> {
        let mut table = self.root;
        let mut path = Vec::new();
        for (level, &(shift, width)) in self.style.levels()[..depth].iter().enumerate() {
            let index = linear >> shift & ((1 << width) - 1);
            let entry = table + index * self.style.entry_bytes();
            path.push(entry);
            if level + 1 == depth {
                self.set(machine, entry, physical | flags);
                break;
            }
            if self.get(machine, entry) & 1 == 0 {
                // A PAE root's entries have no rights: these bits are reserved there.
                let rights = if self.style == Style::Pae && level == 0 { 1 } else { 7 };
                machine.put(self.next_table, &[0; 4096]);
                self.set(machine, entry, self.next_table | rights);
                self.next_table += 0x1000;
            }
            table = self.get(machine, entry) & 0x000f_ffff_ffff_f000;
        }
        path
    }

    /// The entry at a physical address.
    pub fn get(&self, machine: &TestMachine, entry: u64) -> u64 {
        let mut bytes = [0; 8];
        let found = machine.get(entry, self.style.entry_bytes() as usize);
        bytes[..found.len()].copy_from_slice(&found);
        u64::from_le_bytes(bytes)
    }

    /// Sets the entry at a physical address.
    pub fn set(&self, machine: &mut TestMachine, entry: u64, value: u64) {
        machine.put(entry, &value.to_le_bytes()[..self.style.entry_bytes() as usize]);
    }
}
