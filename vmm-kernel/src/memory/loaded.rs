//! The address space that a processor has loaded.
#![allow(unsafe_code, reason = "CR3 says what memory is")]

use core::sync::atomic::Ordering;

use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::PhysFrame;

use super::entry;
use crate::checks;
use crate::cpu::PerCpu;

/// Makes an address space this processor's, if it is not. Returns whether it was another.
///
/// # Safety
/// `cpu` is the one this runs on. It is the root of tables that share the kernel's half, and they stay until
/// another is loaded.
#[inline(always)]
pub unsafe fn load(cpu: &PerCpu, root: PhysFrame) -> bool {
    let address = root.start_address().as_u64();
    let is_other = cpu.space.load(Ordering::Relaxed) != address;
    if is_other {
        // Who takes a page away looks at both: from here on this processor may have what it found there. The
        // write to CR3 puts the two stores in order, as it waits for all before it.
        cpu.next_space.store(address, Ordering::Relaxed);
        let seen = checks::tlb::root_loads();
        // SAFETY: the caller's promise; in the kernel's half this code, its stack and its data lie.
        unsafe { Cr3::write(entry::for_cr3(root), Cr3Flags::empty()) };
        checks::tlb::root_loaded(root, seen);
        cpu.space.store(address, Ordering::Relaxed);
    }
    is_other
}

/// Leaves the page tables that a processor was started on for the kernel's own, before it has an area.
///
/// # Safety
/// As for [`load`].
pub unsafe fn load_first(root: PhysFrame) {
    // SAFETY: the caller's promise.
    unsafe { Cr3::write(entry::for_cr3(root), Cr3Flags::empty()) };
}

/// Has this processor forget what it has cached of its address space.
pub fn reload() {
    let seen = checks::tlb::root_loads();
    // Global pages stay cached. They are the kernel's, mapped once and for good; temporary pages are not
    // global.
    let (root, flags) = Cr3::read();
    // SAFETY: it stays the same.
    unsafe { Cr3::write(root, flags) };
    checks::tlb::root_loaded(root, seen);
}

/// Whether a processor may have cached something of the address space with this root.
pub fn may_be_on(cpu: &PerCpu, root: PhysFrame) -> bool {
    let root = root.start_address().as_u64();
    [&cpu.next_space, &cpu.space].iter().any(|space| space.load(Ordering::SeqCst) == root)
}
