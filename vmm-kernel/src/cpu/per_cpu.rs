//! The per-CPU area: what one processor alone reads and writes, reached through GS.
//!
//! The fields in [`EntryFields`] are at fixed places, because the entry code in assembly uses them. Only what
//! is atomic here is touched by other processors.
#![allow(unsafe_code, reason = "the area is found through the GS base, which only this module sets")]

use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use x86_64::VirtAddr;
use x86_64::structures::paging::PhysFrame;

use super::descriptors::Descriptors;
use super::fpu_owner::FpuOwner;
use super::msr;
use super::ready::ReadyVcpu;
use super::room::Room;
use crate::layout::{CpuArea, MAX_CPUS};

/// What assembly reads through GS, by fixed offset.
#[repr(C)]
pub struct EntryFields {
    /// GS:0: where SYSCALL keeps the user's RSP for a moment.
    pub user_stack: Cell<u64>,
    /// GS:8: top of the running thread's kernel stack.
    pub kernel_stack: Cell<u64>,
    /// GS:16: the linear address of this area.
    pub this: Cell<*const PerCpu>,
    /// GS:24: the vCPU that the processor has selected.
    pub ready: ReadyVcpu,
}

/// Offsets of [`EntryFields`] from GS, for the entry code.
pub mod entry {
    use core::mem::offset_of;

    use super::{EntryFields, ReadyVcpu};

    const READY: usize = offset_of!(EntryFields, ready);
    /// The run page of the vCPU selected.
    pub const READY_RUN_PAGE: usize = READY + offset_of!(ReadyVcpu, run_page);
    /// The backend's word for it.
    pub const READY_OF_VCPU: usize = READY + offset_of!(ReadyVcpu, of_vcpu);
    /// The backend's word for the processor.
    pub const READY_OF_PROCESSOR: usize = READY + offset_of!(ReadyVcpu, of_processor);
}

/// Room for what the scheduler keeps for a processor: its threads.
const SCHEDULER_WORDS: usize = 896;

/// One processor's area.
#[repr(C)]
pub struct PerCpu {
    /// For the entry code.
    pub entry: EntryFields,
    /// Index of this processor, from 0.
    pub number: u32,
    /// Its local APIC's ID.
    pub apic_id: u32,
    /// GDT, TSS.
    pub descriptors: UnsafeCell<Descriptors>,
    /// How many of its temporary pages are in use: they nest.
    pub temporary_pages: Cell<usize>,
    /// The scheduler's own state.
    pub scheduler: Room<SCHEDULER_WORDS>,
    /// Whose FPU registers are in the processor.
    pub fpu: FpuOwner,
    /// The backend's: TSC_AUX as this processor has it, 64 ones before that is known.
    pub tsc_aux: Cell<u64>,
    /// The address space in CR3, by the address of its root.
    pub space: AtomicU64,
    /// The one that is there or about to be.
    pub next_space: AtomicU64,
    /// What the kernel handled by itself while a guest ran, by `vcpu_abi::operation::handled`.
    pub handled: [AtomicU64; vcpu_abi::operation::handled::END as usize],
}

static AREAS: [AtomicPtr<PerCpu>; MAX_CPUS] = [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS];

/// The area of the processor this runs on.
pub fn this_cpu() -> &'static PerCpu {
    let this: *const PerCpu;
    // SAFETY: GS points to the area in every path of the kernel once `install` has run; it is never freed.
    unsafe {
        core::arch::asm!("mov {}, gs:[16]", out(reg) this, options(nostack, readonly, preserves_flags));
        &*this
    }
}

/// The processor's number; 0 before its area is installed.
pub fn this_cpu_number() -> u32 {
    if msr::read(msr::GS_BASE) == 0 { 0 } else { this_cpu().number }
}

/// What other processors may see of a processor that runs.
pub fn of(number: u32) -> Option<&'static PerCpu> {
    let area = AREAS.get(number as usize)?.load(Ordering::Acquire);
    // SAFETY: non-null entries point to areas that live for ever; other processors use only the atomic and
    // locked fields.
    unsafe { area.as_ref() }
}

/// Makes the area at `address`, zeroed memory mapped for ever, this processor's. Other processors see it when
/// it is [`publish`]ed.
///
/// # Safety
/// `address` is mapped, writable, aligned and large enough, used for nothing else; once per processor.
pub unsafe fn install(address: *mut PerCpu, number: u32, apic_id: u32, space: PhysFrame) {
    // SAFETY: the caller's promise; the fields are written before anybody can read them.
    unsafe {
        address.write(PerCpu {
            entry: EntryFields {
                user_stack: Cell::new(0),
                kernel_stack: Cell::new(0),
                this: Cell::new(address),
                ready: ReadyVcpu::new(),
            },
            number,
            apic_id,
            descriptors: UnsafeCell::new(Descriptors::new()),
            temporary_pages: Cell::new(0),
            scheduler: Room::new(),
            fpu: FpuOwner::new(),
            tsc_aux: Cell::new(u64::MAX),
            space: AtomicU64::new(space.start_address().as_u64()),
            next_space: AtomicU64::new(space.start_address().as_u64()),
            handled: [const { AtomicU64::new(0) }; vcpu_abi::operation::handled::END as usize],
        });
        msr::write(msr::GS_BASE, address as u64);
        // What processes find as theirs. It must not look like a kernel address: by that the entry code tells
        // whose GS is loaded.
        msr::write(msr::KERNEL_GS_BASE, 0);
    }
}

/// Lets the other processors see this one, when all of its area is filled.
pub fn publish() {
    let cpu = this_cpu();
    if let Some(place) = AREAS.get(cpu.number as usize) {
        // Release, for the acquiring look in `of`: who finds the area finds it filled.
        place.store(cpu.entry.this.get().cast_mut(), Ordering::Release);
    }
}

/// Fills and loads this processor's descriptor tables. Its area must be installed and its stacks mapped.
pub fn load_descriptors(area: CpuArea) {
    // SAFETY: only this processor touches its descriptors, and only here and in `set_kernel_stack`, which do
    // not nest; the area lives for ever.
    unsafe { (*this_cpu().descriptors.get()).load(area) };
}

/// Sets the stack that interrupts and system calls from user mode use, on the processor this runs on.
///
/// # Safety
/// `top` is that of a stack of the thread that is about to run, mapped for ever.
#[inline(always)]
pub unsafe fn set_kernel_stack(cpu: &PerCpu, top: VirtAddr) {
    cpu.entry.kernel_stack.set(top.as_u64());
    // SAFETY: as in `load_descriptors`; the processor reads it at the next interrupt from user mode.
    unsafe { (*cpu.descriptors.get()).set_kernel_stack(top) };
}

/// A handle was closed, and may be the one that is ready on any processor.
pub fn forget_ready_everywhere() {
    for cpu in all() {
        cpu.entry.ready.forget();
    }
}

/// The processors that run, in order.
pub fn all() -> impl Iterator<Item = &'static PerCpu> {
    (0..MAX_CPUS as u32).filter_map(of)
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(PerCpu, entry) == 0);
    assert!(offset_of!(EntryFields, kernel_stack) == 8);
    assert!(offset_of!(EntryFields, this) == 16);
};
