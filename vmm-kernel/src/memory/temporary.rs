//! Temporary mappings: a frame in the kernel's address space for the time of one closure, on one processor.
#![allow(unsafe_code, reason = "the only way to memory that is not mapped")]

use x86_64::structures::paging::PhysFrame;

use super::self_map::{self, MapKind};
use super::words::Words;
use crate::cpu::this_cpu;
use crate::layout::{CpuArea, PAGE};

/// Runs `f` with the address at which `frame` is mapped.
fn with_mapping<R>(frame: PhysFrame, kind: MapKind, f: impl FnOnce(u64) -> R) -> R {
    if cfg!(not(target_os = "none")) {
        // An ordinary program, which tests a part of the kernel: a frame is where its number says
        // (`crate::host`).
        return f(frame.start_address().as_u64());
    }
    let cpu = this_cpu();
    let slot = cpu.temporary_pages.get();
    // How deep mappings nest is in the source alone: nothing that a process or guest does gets here.
    assert!(slot < CpuArea::TEMPORARY_PAGES, "temporary mappings nest too deep");
    cpu.temporary_pages.set(slot + 1);
    let address = CpuArea::of(cpu.number).temporary() + slot as u64 * PAGE;
    // SAFETY: the slot is this processor's and free: it was just taken from the stack, and interrupts are
    // off.
    unsafe { self_map::repoint(address, Some((frame, kind))) };
    let result = f(address);
    // SAFETY: the closure is over, and what it was given does not outlive it.
    unsafe { self_map::repoint(address, None) };
    cpu.temporary_pages.set(slot);
    result
}

/// A frame as words, which others may be reading or writing.
pub fn with_frame<R>(frame: PhysFrame, f: impl FnOnce(&Words) -> R) -> R {
    // SAFETY: a whole page, mapped as long as the closure runs; all of its words are volatile places.
    with_mapping(frame, MapKind::Data, |address| f(unsafe { &*(address as *const Words) }))
}

/// The same of a frame that the host may access.
pub fn with_shared_frame<R>(frame: PhysFrame, f: impl FnOnce(&Words) -> R) -> R {
    // SAFETY: as in `with_frame`.
    with_mapping(frame, MapKind::Shared, |address| f(unsafe { &*(address as *const Words) }))
}

/// A page of a device's registers as words.
pub fn with_device_page<R>(page: PhysFrame, f: impl FnOnce(&Words) -> R) -> R {
    // SAFETY: a whole page, mapped as long as the closure runs; all of its words are volatile places, and
    // registers of the host's devices cannot hold what Rust relies on.
    with_mapping(page, MapKind::Device, |address| f(unsafe { &*(address as *const Words) }))
}

/// Copies bytes into a frame that others may be reading or writing.
pub fn copy_in(frame: PhysFrame, offset: usize, bytes: &[u8]) {
    assert!(offset + bytes.len() <= PAGE as usize, "a copy into one frame");
    with_mapping(frame, MapKind::Data, |address| {
        let to = (address as usize + offset) as *mut u8;
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: within the mapped page; volatile, since others may touch it.
            unsafe { to.add(index).write_volatile(*byte) };
        }
    });
}

/// Copies bytes out of a frame that others may be writing.
pub fn copy_out(frame: PhysFrame, offset: usize, bytes: &mut [u8]) {
    assert!(offset + bytes.len() <= PAGE as usize, "a copy out of one frame");
    with_mapping(frame, MapKind::Data, |address| {
        let from = (address as usize + offset) as *const u8;
        for (index, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: within the mapped page; volatile, since others may touch it.
            *byte = unsafe { from.add(index).read_volatile() };
        }
    });
}
