//! Walks of the guest's page tables, in every paging mode (APM 2, chapter 5; SDM 3, chapter 4).
//!
//! [`walk`] only looks. [`translate`] walks and then sets accessed and dirty bits, atomically and only after
//! every check has passed, so that a walk which ends in a fault has changed nothing. A table entry that
//! another vCPU changes in between makes the walk start again. Where there is no RAM an entry reads all-ones,
//! as absent memory does: but for 32-bit paging it has reserved bits set, and never lacks an accessed or
//! dirty bit.
//!
//! A [`Translation`] carries the [`Trace`] of the entries it came from: who keeps it may take it for right as
//! long as the same registers are in force and memory holds the same entries.

mod entry;
mod legacy;
mod rights;
mod trace;

pub use rights::{Access, Kind};
pub use trace::Trace;

use crate::bits::{CR0_PG, CR4_LA57, CR4_PAE, EFER_LMA};
use crate::{Exception, GuestMemory, Size};
use rights::Rights;

/// How often [`translate`] starts again because an entry changed under it.
const ATTEMPTS: u32 = 8;

/// The registers that say how addresses are translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// CR0.
    pub cr0: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// EFER, with LMA as it is.
    pub efer: u64,
    /// PKRU; looked at if CR4.PKE is set.
    pub pkru: u32,
    /// Bits of a guest physical address, 32 to 52 (CPUID 8000_0008h EAX); entries that use more have reserved
    /// bits set.
    pub physical_bits: u8,
    /// Whether the guest has 1 GiB pages (CPUID 8000_0001h EDX bit 26).
    pub gigabyte_pages: bool,
}

impl Paging {
    /// The bits a linear address has in long mode; those above must equal the topmost one.
    #[inline]
    pub const fn linear_bits(&self) -> u32 {
        if self.cr4 & CR4_LA57 != 0 { 57 } else { 48 }
    }

    /// Whether a 64-bit linear address is canonical (APM 1, 2.1.1).
    #[inline]
    pub const fn is_canonical(&self, linear: u64) -> bool {
        let unused = 64 - self.linear_bits();
        ((linear << unused) as i64 >> unused) as u64 == linear
    }
}

/// Why there is no translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkError {
    /// The guest's fault: #PF with this error code; CR2 is the linear address.
    Fault {
        /// The error code.
        error_code: u32,
        /// The linear address that was asked for.
        address: u64,
    },
    /// The guest's fault: the linear address is not canonical. #GP(0), or #SS(0) through SS.
    NonCanonical,
    /// The entries changed under the walk again and again: let the guest run, and it will come back.
    Contended,
}

impl WalkError {
    /// The #PF to inject, if that is what it is.
    pub fn page_fault(self) -> Option<Exception> {
        match self {
            WalkError::Fault { error_code, address } => Some(Exception::page_fault(error_code, address)),
            _ => None,
        }
    }
}

/// A successful translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The guest physical address.
    pub gpa: u64,
    /// The size of the page in bytes; 4096 where paging is off.
    pub page_bytes: u64,
    /// Whether every entry allows writes.
    pub writable: bool,
    /// Whether every entry allows user access.
    pub user: bool,
    /// Whether no entry forbids execution.
    pub executable: bool,
    /// The entries it came from.
    pub trace: Trace,
}

/// Translates without changing anything.
///
/// # Errors
/// Each [`WalkError`] but [`WalkError::Contended`].
pub fn walk(
    memory: &mut (impl GuestMemory + ?Sized),
    paging: &Paging,
    linear: u64,
    access: Access,
) -> Result<Translation, WalkError> {
    if paging.cr0 & CR0_PG == 0 {
        // Without paging there is no long mode, so addresses have 32 bits.
        let gpa = linear & 0xffff_ffff;
        let trace = Trace::default();
        return Ok(Translation {
            gpa,
            page_bytes: crate::PAGE_BYTES,
            writable: true,
            user: true,
            executable: true,
            trace,
        });
    }
    if paging.efer & EFER_LMA != 0 {
        // The walk takes 48 or 57 bits of the address; the others are looked at here alone.
        if !paging.is_canonical(linear) {
            return Err(WalkError::NonCanonical);
        }
        let levels = if paging.cr4 & CR4_LA57 != 0 { 5 } else { 4 };
        return entries_of_eight(memory, paging, linear, access, levels);
    }
    // Base and offset may add up to more than 32 bits, and wrap.
    let linear = linear & 0xffff_ffff;
    if paging.cr4 & CR4_PAE != 0 {
        entries_of_eight(memory, paging, linear, access, 3)
    } else {
        legacy::walk(memory, paging, linear, access)
    }
}

/// Translates and sets the accessed and dirty bits that the access sets.
///
/// # Errors
/// Each [`WalkError`].
pub fn translate(
    memory: &mut (impl GuestMemory + ?Sized),
    paging: &Paging,
    linear: u64,
    access: Access,
) -> Result<Translation, WalkError> {
    // Bounded: a guest that changes its tables without end must not keep the vCPU's thread here.
    for _ in 0..ATTEMPTS {
        // From CR3 again each time, since what changed may be any of the entries.
        let mut translation = walk(memory, paging, linear, access)?;
        // An entry that is not what it was may map elsewhere or allow less: the whole walk is made anew.
        if access.is_probe() || translation.trace.mark(memory, access.kind() == Kind::Write) {
            return Ok(translation);
        }
    }
    Err(WalkError::Contended)
}

/// PAE (3 levels), 4-level and 5-level paging.
fn entries_of_eight(
    memory: &mut (impl GuestMemory + ?Sized),
    paging: &Paging,
    linear: u64,
    access: Access,
    levels: u32,
) -> Result<Translation, WalkError> {
    let is_pae = levels == 3;
    let always_reserved = entry::reserved(paging, is_pae);
    let mut rights = Rights::default();
    let mut trace = Trace::new(Size::B8, is_pae);
    // PAE's first table is 32 bytes long and so aligned (SDM 3, 4.4.1).
    let mut table = paging.cr3 & if is_pae { 0xffff_ffe0 } else { entry::ADDRESS };
    let mut level = levels;
    loop {
        let shift = entry::shift(level);
        let gpa = table.wrapping_add((linear >> shift & 0x1ff) * 8);
        // Where no memory is, all bits read as ones, as on a bus: reserved ones among them make the entry a
        // fault.
        let value = memory.read(gpa, Size::B8).unwrap_or(entry::ABSENT);
        trace.push(gpa, value);
        if value & entry::PRESENT == 0 {
            return Err(access.fault(paging, linear, 0));
        }
        let mut reserved = always_reserved;
        let mut is_leaf = level == 1;
        // The four pointers of PAE have no rights, and reserved bits in their place (SDM 3, table 4-8).
        if is_pae && level == 3 {
            reserved |= entry::RESERVED_IN_POINTER;
        } else {
            rights.narrow(value);
            if value & entry::LARGE != 0 && !is_leaf {
                reserved |= entry::reserved_in_large(paging, level);
                is_leaf = true;
            }
        }
        // Before the rights: an entry with reserved bits says nothing that could be believed.
        if value & reserved != 0 {
            return Err(access.fault(paging, linear, rights::PRESENT | rights::RESERVED));
        }
        if is_leaf {
            // Keys are long mode's; PAE has reserved bits there (SDM 3, 4.6.2).
            if !is_pae {
                rights.set_key(value);
            }
            rights.check(paging, linear, access)?;
            let offset = (1_u64 << shift) - 1;
            let gpa = (value & entry::ADDRESS & !offset) | (linear & offset);
            return Ok(rights.translation(gpa, 1 << shift, trace));
        }
        // Bits beyond the guest's physical addresses have been found reserved, so that none is left in here.
        table = value & entry::ADDRESS;
        level -= 1;
    }
}
