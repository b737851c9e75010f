//! The reverse map table (RMP): for each page of the machine's memory, whose it is and what may be done with
//! it (APM 2, 15.36.3); the host's instructions, which change it. [`guest`] has the guest's.
//!
//! An entry of a page that begins a region of 2 MiB and is *large* stands for the whole region: the entries
//! of the other 511 pages mean nothing then.

pub mod guest;

use alloc::vec;
use alloc::vec::Vec;

use plinth_snp_abi::rmp::{PageSize, Permissions, VMPLS};

/// Pages of a region of 2 MiB.
pub const REGION_PAGES: usize = 512;
const PAGE_SHIFT: u32 = 12;

/// Whose a page is, and what may be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// A guest's, or the firmware's; else the host's.
    pub assigned: bool,
    /// The size of the page that this entry is of.
    pub size: PageSize,
    /// The guest; 0 for pages of the firmware.
    pub asid: u32,
    /// Where the guest has the page.
    pub gpa: u64,
    /// RMPUPDATE and PSMASH may not change it, and no guest may use it.
    pub immutable: bool,
    /// The guest has accepted it.
    pub validated: bool,
    /// It holds a vCPU's state.
    pub vmsa: bool,
    /// What each VMPL may do.
    pub permissions: [Permissions; VMPLS],
}

impl Entry {
    /// A page of the host's.
    pub const HYPERVISOR: Self = Self {
        assigned: false,
        size: PageSize::Small,
        asid: 0,
        gpa: 0,
        immutable: false,
        validated: false,
        vmsa: false,
        permissions: NOT_VALIDATED,
    };
}

/// Permissions of a page that no VMPL0 has given away: all are VMPL0's (APM 2, 15.36.7).
pub(crate) const NOT_VALIDATED: [Permissions; VMPLS] =
    [Permissions::FULL, Permissions::empty(), Permissions::empty(), Permissions::empty()];

/// What RMPUPDATE sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// Whether the page is a guest's.
    pub assigned: bool,
    /// The page's size.
    pub size: PageSize,
    /// The guest.
    pub asid: u32,
    /// Where the guest has the page.
    pub gpa: u64,
    /// Whether it can be changed again.
    pub immutable: bool,
}

/// Why RMPUPDATE or PSMASH did nothing. The codes are [`plinth_snp_abi::rmp::host_result`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// FAIL_INPUT: an address is not aligned, or not covered by the RMP; there is no large page to smash.
    Input = 1,
    /// FAIL_PERMISSION: the entry is immutable.
    Permission = 2,
    /// FAIL_INUSE: a vCPU runs on this VMSA.
    InUse = 3,
    /// FAIL_OVERLAP: a large page over assigned small ones, or a page within a large one.
    Overlap = 4,
}

/// The RMP.
#[derive(Clone, Debug)]
pub struct Rmp {
    entries: Vec<Entry>,
    /// Frames of VMSAs on which vCPUs run.
    in_use: Vec<usize>,
}

impl Rmp {
    /// The table of a machine with so many pages of memory, all of them the host's.
    #[must_use]
    pub fn new(pages: usize) -> Self {
        Self { entries: vec![Entry::HYPERVISOR; pages], in_use: Vec::new() }
    }

    /// The number of the entry that governs a page: that of a large page, or its own.
    fn governing(&self, spa: u64) -> Option<usize> {
        let frame = usize::try_from(spa >> PAGE_SHIFT).ok()?;
        let own = self.entries.get(frame)?;
        let first = frame - frame % REGION_PAGES;
        let head = self.entries.get(first)?;
        debug_assert!(own.size == PageSize::Small || frame == first, "a large page begins a region");
        Some(if head.assigned && head.size == PageSize::Large { first } else { frame })
    }

    /// The entry that governs the page at a system physical address; its `gpa` is that of the small page
    /// which was asked for. None beyond the table.
    #[must_use]
    pub fn lookup(&self, spa: u64) -> Option<Entry> {
        let number = self.governing(spa)?;
        let mut entry = *self.entries.get(number)?;
        if entry.size == PageSize::Large {
            entry.gpa += spa & (PageSize::Large.bytes() - 1) & !(PageSize::Small.bytes() - 1);
        }
        Some(entry)
    }

    pub(crate) fn governing_mut(&mut self, spa: u64) -> Option<&mut Entry> {
        let number = self.governing(spa)?;
        self.entries.get_mut(number)
    }

    /// Whether a vCPU runs on the VMSA at this address.
    #[must_use]
    pub fn is_in_use(&self, spa: u64) -> bool {
        usize::try_from(spa >> PAGE_SHIFT).is_ok_and(|frame| self.in_use.contains(&frame))
    }

    /// Notes that a vCPU runs on the VMSA at this address, or does not any longer.
    pub fn set_in_use(&mut self, spa: u64, is_in_use: bool) {
        let Ok(frame) = usize::try_from(spa >> PAGE_SHIFT) else { return };
        self.in_use.retain(|other| *other != frame);
        if is_in_use {
            self.in_use.push(frame);
        }
    }

    /// Whether any of these pages is somebody's, or can't be changed.
    fn has_taken(&self, first: usize, pages: usize) -> bool {
        let those = self.entries.get(first..first + pages);
        those.is_none_or(|those| those.iter().any(|entry| entry.assigned || entry.immutable))
    }

    /// RMPUPDATE (APM 3; the order of the checks is not confirmed by a public source): what is set is not
    /// validated, no VMSA, and all VMPL0's.
    ///
    /// # Errors
    /// [`HostError`]; nothing has changed then.
    pub fn update(&mut self, spa: u64, update: Update) -> Result<(), HostError> {
        let (bytes, pages) = match update.size {
            PageSize::Small => (PageSize::Small.bytes(), 1),
            PageSize::Large => (PageSize::Large.bytes(), REGION_PAGES),
        };
        let frame = usize::try_from(spa >> PAGE_SHIFT).map_err(|_| HostError::Input)?;
        let last = frame.checked_add(pages).ok_or(HostError::Input)?;
        if !(spa | update.gpa).is_multiple_of(bytes) || last > self.entries.len() {
            return Err(HostError::Input);
        }
        let number = self.governing(spa).ok_or(HostError::Input)?;
        let old = *self.entries.get(number).ok_or(HostError::Input)?;
        if old.immutable {
            return Err(HostError::Permission);
        }
        if (frame..last).any(|frame| self.in_use.contains(&frame)) {
            return Err(HostError::InUse);
        }
        let is_over_small = update.size == PageSize::Large
            && !(old.assigned && old.size == PageSize::Large)
            && self.has_taken(frame, pages);
        let is_in_large = update.size == PageSize::Small && old.assigned && old.size == PageSize::Large;
        if is_over_small || is_in_large {
            return Err(HostError::Overlap);
        }
        let Update { assigned, size, asid, gpa, immutable } = update;
        if let Some(entry) = self.entries.get_mut(frame) {
            *entry = Entry { assigned, size, asid, gpa, immutable, ..Entry::HYPERVISOR };
            if !assigned {
                // An entry of the host's has no size: a region is free page by page.
                entry.size = PageSize::Small;
            }
        }
        Ok(())
    }

    /// PSMASH (APM 3): a large page becomes 512 small ones, which keep all else that it had.
    ///
    /// # Errors
    /// [`HostError`]; nothing has changed then.
    pub fn smash(&mut self, spa: u64) -> Result<(), HostError> {
        let frame = usize::try_from(spa >> PAGE_SHIFT).map_err(|_| HostError::Input)?;
        if !spa.is_multiple_of(PageSize::Large.bytes()) {
            return Err(HostError::Input);
        }
        let large = *self.entries.get(frame).ok_or(HostError::Input)?;
        if !large.assigned || large.size != PageSize::Large {
            return Err(HostError::Input);
        }
        if large.immutable {
            return Err(HostError::Permission);
        }
        let region = self.entries.get_mut(frame..frame + REGION_PAGES).ok_or(HostError::Input)?;
        for (gpa, entry) in (large.gpa..).step_by(1 << PAGE_SHIFT).zip(region) {
            *entry = Entry { size: PageSize::Small, gpa, ..large };
        }
        Ok(())
    }
}
