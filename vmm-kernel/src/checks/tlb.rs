//! A model of what the processors' TLBs may still hold of the kernel, which panics where one could be used
//! that is not so any more: a page that is mapped somewhere else must have been flushed on this processor,
//! tables that are freed must be in no processor's CR3, a frame that is given back must be no processor's
//! temporary page, and what was taken out of a process's tables must have been forgotten by every processor
//! that has them loaded. The backend has the like for guests.

use core::sync::atomic::{AtomicU64, Ordering, fence};

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
/// How often pages were taken out of processes' tables.
static CHANGES: AtomicU64 = AtomicU64::new(0);
/// How many of these changes were made before each processor last forgot all pages.
static SEEN: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

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

/// How many of the changes that took pages out of processes this processor will have seen when it has loaded
/// CR3: before it does.
pub fn root_loads() -> u64 {
    if !ON {
        return 0;
    }
    // What was said of CR3 before is seen by others before this looks.
    fence(Ordering::SeqCst);
    CHANGES.load(Ordering::SeqCst)
}

/// This processor has another CR3, or the same anew, and has forgotten all pages that are not global.
#[inline(always)]
pub fn root_loaded(root: PhysFrame, changes_seen: u64) {
    if !ON {
        return;
    }
    let cpu = this_cpu_number() as usize;
    if let Some((place, seen)) = ROOTS.get(cpu).zip(SEEN.get(cpu)) {
        seen.store(changes_seen, Ordering::SeqCst);
        place.store(root.start_address().as_u64(), Ordering::SeqCst);
        // Temporary pages are not global (`self_map::repoint`): another CR3 forgets them as well.
        with_this(|frames| *frames = [0; SLOTS]);
    }
}

/// Pages were taken out of a process's tables: which change that was.
pub fn space_changes() -> u64 {
    if ON { CHANGES.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 }
}

/// All processors are said to have forgotten what a change took out of the tables with this root.
pub fn space_is_forgotten(root: PhysFrame, change: u64) {
    if !ON {
        return;
    }
    let root = root.start_address().as_u64();
    for (cpu, (loaded, seen)) in ROOTS.iter().zip(&SEEN).enumerate() {
        if loaded.load(Ordering::SeqCst) == root && seen.load(Ordering::SeqCst) < change {
            panic!("TLB: cpu{cpu} may still have pages that were taken out of the tables at {root:#x}");
        }
    }
}

/// Tables are about to be freed.
pub fn root_goes(root: PhysFrame) {
    let root = root.start_address().as_u64();
    if ON && let Some(cpu) = ROOTS.iter().position(|loaded| loaded.load(Ordering::SeqCst) == root) {
        panic!("TLB: the tables at {root:#x} are freed while they are in CR3 of cpu{cpu}");
    }
}
