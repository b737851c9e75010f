//! A model of what the processors' TLBs may still hold, which panics where one could be used that is not so any
//! more. QEMU's TCG forgets guests' translations at every entry, so that a flush that is missing does not show there.
//!
//! Guests (APM volume 2, 15.16): entries of an ASID stay on a processor until it is told to flush them. They must be
//! the entered vCPU's own, of this life of its place, under the paging registers that the processor knows of.
//! The kernel: a page that is mapped somewhere else must have been flushed on this processor; tables that are freed
//! must be in no processor's CR3.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::structures::paging::PhysFrame;

use super::ON;
use crate::cpu::{MAX_CPUS, this_cpu_number};
use crate::memory::layout::{CpuArea, PAGE, vcpu_area};
use crate::platform::svm::vmcb::Vmcb;
use crate::platform::vcpu::VCPUS_MAX;
use crate::platform::vm::VMS_MAX;
use crate::sync::SpinLock;

/// Temporary pages of a processor.
const SLOTS: usize = 8;
/// What VMRUN finds in TLB_CONTROL: all entries, those of this ASID.
const FLUSH_ALL: u64 = 1;
const FLUSH_ASID: u64 = 3;

/// Whose translations an ASID's entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holder {
    /// The place of the vCPU, and how many vCPUs have been there.
    vcpu: usize,
    life: u64,
    /// CR0, CR3, CR4 and EFER when it left.
    paging: [u64; 4],
}

/// What one processor may hold.
struct Processor {
    /// By ASID; 0 is the host's.
    guests: [Option<Holder>; VMS_MAX + 1],
    /// The frames of its temporary pages; 0 for none.
    temporary: [u64; SLOTS],
}

static PROCESSORS: [SpinLock<Processor>; MAX_CPUS] =
    [const { SpinLock::new(Processor { guests: [None; VMS_MAX + 1], temporary: [0; SLOTS] }) }; MAX_CPUS];
/// Each processor's CR3.
static ROOTS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// How many vCPUs there have been in each place.
static LIVES: [AtomicU64; VCPUS_MAX] = [const { AtomicU64::new(0) }; VCPUS_MAX];

fn with_this<R>(f: impl FnOnce(&mut Processor) -> R) -> Option<R> {
    PROCESSORS.get(this_cpu_number() as usize).map(|processor| f(&mut processor.lock()))
}

/// The place of a vCPU, and which one there.
fn identity(vmcb: &Vmcb) -> (usize, u64) {
    let stride = vcpu_area(1) - vcpu_area(0);
    let place = ((core::ptr::from_ref(vmcb) as u64).wrapping_sub(vcpu_area(0)) / stride) as usize;
    (place, LIVES.get(place).map_or(0, |lives| lives.load(Ordering::Relaxed)))
}

fn paging(vmcb: &Vmcb) -> [u64; 4] {
    let save = &vmcb.save;
    [save.cr0.get(), save.cr3.get(), save.cr4.get(), save.efer.get()]
}

/// ASID and TLB_CONTROL.
fn asid_and_flush(vmcb: &Vmcb) -> (usize, u64) {
    let both = vmcb.control.asid_and_tlb_control.get();
    (both as u32 as usize, both >> 32 & 0xff)
}

/// There is a new vCPU in a place.
pub fn vcpu_made(vmcb: &Vmcb) {
    if ON && let Some(lives) = LIVES.get(identity(vmcb).0) {
        lives.fetch_add(1, Ordering::Relaxed);
    }
}

/// A vCPU is about to be entered, by the long way: what its VMM has changed is there.
pub fn guest_enters(vmcb: &Vmcb) {
    if !ON {
        return;
    }
    let ((vcpu, life), (asid, flush)) = (identity(vmcb), asid_and_flush(vmcb));
    let held = with_this(|processor| processor.guests.get(asid).copied().flatten()).flatten();
    if let Some(held) = held
        && (held.vcpu, held.life) == (vcpu, life)
        && held.paging != paging(vmcb)
        && !matches!(flush, FLUSH_ALL | FLUSH_ASID)
    {
        panic!("TLB: vCPU {vcpu} is entered with other paging registers, and without a flush");
    }
}

/// A vCPU was entered, and has left.
pub fn guest_left(vmcb: &Vmcb) {
    // A refused VMRUN has entered nothing.
    if !ON || vmcb.control.exit_code.get() == u64::MAX {
        return;
    }
    let ((vcpu, life), (asid, flush)) = (identity(vmcb), asid_and_flush(vmcb));
    let new = Holder { vcpu, life, paging: paging(vmcb) };
    let held = with_this(|processor| {
        if flush == FLUSH_ALL {
            processor.guests = [None; VMS_MAX + 1];
        }
        let place = processor.guests.get_mut(asid)?;
        if flush == FLUSH_ASID {
            *place = None;
        }
        place.replace(new)
    });
    if let Some(held) = held.flatten()
        && (held.vcpu, held.life) != (vcpu, life)
    {
        panic!("TLB: vCPU {vcpu} ran with translations of ASID {asid} that were vCPU {}'s", held.vcpu);
    }
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
    let held = with_this(|processor| {
        processor.temporary.get_mut(slot(page)).map(|held| core::mem::replace(held, new))
    });
    if let Some(held) = held.flatten()
        && held != 0
    {
        panic!("TLB: page {page:#x} may still be frame {held:#x} on cpu{}", this_cpu_number());
    }
}

/// This processor has forgotten a page.
pub fn page_flushed(page: u64) {
    if ON {
        with_this(|processor| processor.temporary.get_mut(slot(page)).map(|held| *held = 0));
    }
}

/// This processor has another CR3, and has forgotten all pages that are not global.
pub fn root_loaded(root: PhysFrame) {
    if ON && let Some(place) = ROOTS.get(this_cpu_number() as usize) {
        place.store(root.start_address().as_u64(), Ordering::SeqCst);
        with_this(|processor| processor.temporary = [0; SLOTS]);
    }
}

/// Tables are about to be freed.
pub fn root_goes(root: PhysFrame) {
    let root = root.start_address().as_u64();
    if ON && let Some(cpu) = ROOTS.iter().position(|loaded| loaded.load(Ordering::SeqCst) == root) {
        panic!("TLB: the tables at {root:#x} are freed while they are in CR3 of cpu{cpu}");
    }
}
