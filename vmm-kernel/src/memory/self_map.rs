//! The kernel's own page tables, reached through the PML4 slot that maps the tables themselves.
//!
//! Only the kernel's area is changed here. Its PML4 entry is made once, at boot, so every process's tables
//! share what is below.
#![allow(unsafe_code, reason = "page tables say what memory is")]

use vcpu_abi::boot::{BOOT_PAGE_VIRTUAL, SELF_MAP_SLOT};
use x86_64::VirtAddr;
use x86_64::instructions::tlb;
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use super::entry::{Entry, SHARED};
use super::words::Words;
use super::{MemoryError, bitmap};
use crate::checks;
use crate::layout::{KERNEL_AREA, PAGE};
use crate::sync::SpinLock;
use crate::volatile::Volatile;

/// First address of the self-map.
const SELF_MAP: u64 = 0xffff_0000_0000_0000 | (SELF_MAP_SLOT as u64) << 39;

/// A page for a frame that has no other place yet: the last one of the boot page's page table, which the
/// image brings and uses the front of. There is one for all processors.
pub const SPARE_PAGE: u64 = BOOT_PAGE_VIRTUAL + 511 * PAGE;

/// First address of the kernel's half.
const KERNEL_HALF: u64 = 0xffff_8000_0000_0000;

/// How a kernel page is mapped; never executable, never for users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// Memory.
    Data,
    /// Memory that the host may access.
    Shared,
    /// Memory that is only read.
    ReadOnly,
    /// Registers of a device: not cached.
    Device,
}

impl MapKind {
    fn flags(self) -> Flags {
        let base = Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE;
        match self {
            // The kernel's half is the same in every address space, so TLBs may keep it when CR3 changes.
            Self::Data => base | Flags::GLOBAL,
            Self::Shared => base | Flags::GLOBAL | SHARED,
            Self::ReadOnly => (base | Flags::GLOBAL) - Flags::WRITABLE,
            Self::Device => base | Flags::NO_CACHE | Flags::WRITE_THROUGH | Flags::GLOBAL | SHARED,
        }
    }
}

static LOCK: SpinLock<()> = SpinLock::new(());

/// The entry that maps `address` at a level: 1 for the page table, 4 for the PML4.
fn entry(address: u64, level: u32) -> *const Volatile<u64> {
    let mut at = address;
    // Each step goes one level up: where an entry is seen is an address that the self-map maps as well.
    for _ in 0..level {
        at = SELF_MAP | (((at & 0x0000_ffff_ffff_ffff) >> 9) & !7);
    }
    at as *const Volatile<u64>
}

/// Zeroes a page.
///
/// # Safety
/// The page is mapped, and what is in it is nobody's.
unsafe fn clear(page: u64) {
    // SAFETY: the caller's promise; all of the page's words are volatile places.
    unsafe { &*(page as *const Words) }.fill(0);
}

/// Takes a frame for a table, and zeroes it before it is one: what a process or guest has left in it must at
/// no moment be entries, which a processor may follow without being told to (APM volume 2, 5.5).
///
/// # Safety
/// The lock is held: the spare page is one for all processors.
unsafe fn take_table() -> Result<PhysFrame, MemoryError> {
    let frame = bitmap::take()?;
    // Another processor may have had it elsewhere, and this one have looked there ahead of time.
    tlb::flush(VirtAddr::new(SPARE_PAGE));
    // SAFETY: the image's tables have the page's table, and by the caller's promise nothing refers to it.
    unsafe {
        repoint(SPARE_PAGE, Some((frame, MapKind::Data)));
        clear(SPARE_PAGE);
        repoint(SPARE_PAGE, None);
    }
    Ok(frame)
}

/// Makes sure that the page table for `address` exists.
fn ensure_table(address: u64) -> Result<(), MemoryError> {
    for level in (2..=4).rev() {
        let place = entry(address, level);
        // SAFETY: the tables above exist (higher levels first), so the entry is visible in the self-map; the
        // lock is held.
        let place = unsafe { &*place };
        if place.get() != 0 {
            continue;
        }
        // SAFETY: the lock is held.
        let frame = unsafe { take_table() }?;
        place.set(Entry::encode(frame.start_address(), Flags::PRESENT | Flags::WRITABLE).word());
        let table = (entry(address, level - 1) as u64) & !(PAGE - 1);
        // SAFETY: the new table has just become visible at this address.
        checks::tables::is_empty(unsafe { &*(table as *const Words) }.iter());
    }
    Ok(())
}

fn set(address: u64, frame: PhysFrame, kind: MapKind) -> Result<(), MemoryError> {
    if address < KERNEL_AREA || !address.is_multiple_of(PAGE) {
        return Err(MemoryError::BadRange);
    }
    let _guard = LOCK.lock();
    ensure_table(address)?;
    // SAFETY: the table exists now; the lock is held.
    let place = unsafe { &*entry(address, 1) };
    if place.get() != 0 {
        return Err(MemoryError::Occupied);
    }
    place.set(Entry::encode(frame.start_address(), kind.flags()).word());
    Ok(())
}

/// The frame of a small page of the kernel's half, if one is mapped there.
pub fn lookup(address: u64) -> Option<PhysFrame> {
    if address < KERNEL_HALF {
        return None;
    }
    let mut leaf = Entry::UNUSED;
    for level in (1..=4).rev() {
        // SAFETY: the tables above are there: each level's entry is found before the next one is looked at.
        leaf = Entry::of_word(unsafe { &*entry(address, level) }.get());
        if !leaf.flags().contains(Flags::PRESENT) {
            return None;
        }
    }
    Some(PhysFrame::containing_address(leaf.address()))
}

/// Maps a frame of the kernel's own.
pub fn map_frame(address: u64, frame: PhysFrame) -> Result<(), MemoryError> {
    set(address, frame, MapKind::Data)
}

/// Maps a page that is not of the allocator's: a device's, or the image's.
pub fn map_physical(address: u64, physical: u64, kind: MapKind) -> Result<(), MemoryError> {
    set(address, PhysFrame::containing_address(x86_64::PhysAddr::new_truncate(physical)), kind)
}

/// Maps a new page, zeroed, for good.
fn map_new_page(address: u64) -> Result<(), MemoryError> {
    let frame = bitmap::take()?;
    map_frame(address, frame).inspect_err(|_| bitmap::free(frame))?;
    // SAFETY: just mapped, for the caller alone.
    unsafe { clear(address) };
    Ok(())
}

/// Maps new memory, zeroed, for good.
pub fn map_new(address: u64, bytes: u64) -> Result<(), MemoryError> {
    (0..bytes / PAGE).try_for_each(|page| map_new_page(address + page * PAGE))
}

/// The same where some pages may be there already, from an attempt for which memory did not suffice.
pub fn map_missing(address: u64, bytes: u64) -> Result<(), MemoryError> {
    (0..bytes / PAGE).try_for_each(|page| match map_new_page(address + page * PAGE) {
        Err(MemoryError::Occupied) => Ok(()),
        other => other,
    })
}

/// Makes the page tables for the temporary mappings of a processor.
pub fn prepare_temporary(address: u64) -> Result<(), MemoryError> {
    let _guard = LOCK.lock();
    ensure_table(address)
}

/// Points a temporary page of this processor, or the spare one, somewhere else.
///
/// # Safety
/// The page is this processor's until it is pointed nowhere, and nothing refers to it.
pub unsafe fn repoint(address: u64, to: Option<(PhysFrame, MapKind)>) {
    // SAFETY: its table is there, by `prepare_temporary` or the image; only this processor uses the entry.
    let place = unsafe { &*entry(address, 1) };
    let entry = |(frame, kind): (PhysFrame, MapKind)| {
        Entry::encode(frame.start_address(), kind.flags() - Flags::GLOBAL)
    };
    place.set(to.map_or(Entry::UNUSED, entry).word());
    if to.is_none() {
        // Where nothing was mapped, nothing has to be forgotten: what is not present is not cached (APM
        // volume 2, 5.5.2).
        tlb::flush(VirtAddr::new(address));
        checks::tlb::page_flushed(address);
    }
    checks::tlb::page_is(address, to.map(|(frame, _)| frame));
}
