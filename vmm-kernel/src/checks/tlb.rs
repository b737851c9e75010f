//! A model of what the processors' TLBs may still hold of the kernel, which panics where one could be used
//! that is not so any more: a page that is mapped somewhere else must have been flushed on this processor,
//! tables that are freed must be in no processor's CR3, and a frame that is given back must be no processor's
//! temporary page. The backend has the like for guests.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::structures::paging::PhysFrame;

use super::ON;
use crate::cpu::this_cpu_number;
use crate::layout::{CpuArea, MAX_CPUS, PAGE};
use crate::sync::SpinLock;

const SLOTS: usize = CpuArea::TEMPORARY_PAGES;

/// The frames that a processor's temporary pages may still be; 0 for none.
type Frames = [u64; SLOTS];

static HELD: [SpinLock<Frames>; MAX_CPUS] = [const { SpinLock::new([0; SLOTS]) }; MAX_CPUS];
/// Each processor's CR3.
static ROOTS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

fn with_this<R>(f: impl FnOnce(&mut Frames) -> R) -> Option<R> {
    HELD.get(this_cpu_number() as usize).map(|held| f(&mut held.lock()))
}

fn slot(page: u64) -> usize {
    (page.wrapping_sub(CpuArea::of(this_cpu_number()).temporary()) / PAGE) as usize
}

/// A temporary page of this processor is used for a frame from now on, or for none.
pub fn page_is(page: u64, frame: Option<PhysFrame>) {
    if !ON {
        return;
    }
    let new = frame.map_or(0, |frame| frame.start_address().as_u64());
    let held = with_this(|frames| frames.get_mut(slot(page)).map(|held| core::mem::replace(held, new)));
    if let Some(held) = held.flatten()
        && held != 0
    {
        panic!("TLB: page {page:#x} may still be frame {held:#x} on cpu{}", this_cpu_number());
    }
}

/// A frame is about to be given back, after which it may become anything.
pub fn frame_goes(frame: PhysFrame) {
    if !ON {
        return;
    }
    let frame = frame.start_address().as_u64();
    if let Some(cpu) = HELD.iter().position(|held| held.lock().contains(&frame)) {
        panic!("TLB: frame {frame:#x} is freed while a temporary page of cpu{cpu} may still be it");
    }
}

/// This processor has forgotten a page.
pub fn page_flushed(page: u64) {
    if ON {
        with_this(|frames| frames.get_mut(slot(page)).map(|held| *held = 0));
    }
}

/// This processor has another CR3, and has forgotten all pages that are not global.
pub fn root_loaded(root: PhysFrame) {
    if ON && let Some(place) = ROOTS.get(this_cpu_number() as usize) {
        place.store(root.start_address().as_u64(), Ordering::SeqCst);
        with_this(|frames| *frames = [0; SLOTS]);
    }
}

/// Tables are about to be freed.
pub fn root_goes(root: PhysFrame) {
    let root = root.start_address().as_u64();
    if ON && let Some(cpu) = ROOTS.iter().position(|loaded| loaded.load(Ordering::SeqCst) == root) {
        panic!("TLB: the tables at {root:#x} are freed while they are in CR3 of cpu{cpu}");
    }
}
