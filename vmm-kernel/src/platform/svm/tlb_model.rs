//! A model of what the processors' TLBs may still hold of guests, which panics where one could be used that
//! is not so any more. QEMU's TCG forgets guests' translations at every entry, so that a flush that is
//! missing does not show there. Only a kernel for tests has it ([`checks`](crate::checks)).
//!
//! Entries of an ASID stay on a processor until it is told to flush them (APM volume 2, 15.16). They must be
//! the entered vCPU's own, of this life of its place, under the paging registers that the processor knows of;
//! and when a change that took something out of the nested tables is said to be over, none from before it may
//! be used.

#![allow(unsafe_code, reason = "the entry code says by a pointer whose exit it was")]

use core::sync::atomic::{AtomicU64, Ordering};

use vcpu_abi::run_page::RunPage;

use super::vmcb::Vmcb;
use super::vmcb::tlb_control::{self, FLUSH_ALL, FLUSH_ASID};
use crate::checks::ON;
use crate::cpu::this_cpu_number;
use crate::layout::{MAX_CPUS, VCPUS_MAX, VMS_MAX, vcpu_area};
use crate::run_page::SharedRunPage;
use crate::sync::SpinLock;

/// Whose translations an ASID's entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holder {
    /// The place of the vCPU, and how many vCPUs have been there.
    vcpu: usize,
    life: u64,
    /// CR0, CR3, CR4 and EFER when it left.
    paging: [u64; 4],
    /// How many changes of the nested tables had been made at the last flush.
    changes: u64,
}

/// By processor and ASID; 0 is the host's.
static HELD: [SpinLock<[Option<Holder>; VMS_MAX + 1]>; MAX_CPUS] =
    [const { SpinLock::new([None; VMS_MAX + 1]) }; MAX_CPUS];
/// How many vCPUs there have been in each place.
static LIVES: [AtomicU64; VCPUS_MAX] = [const { AtomicU64::new(0) }; VCPUS_MAX];

/// How often something was taken out of the nested tables of each ASID, and which of these changes are over.
static CHANGES: [AtomicU64; VMS_MAX + 1] = [const { AtomicU64::new(0) }; VMS_MAX + 1];
static OVER: [AtomicU64; VMS_MAX + 1] = [const { AtomicU64::new(0) }; VMS_MAX + 1];
/// By processor: the changes that had been made when it was last entered with a flush.
static ENTERED: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

fn of_asid(counts: &[AtomicU64; VMS_MAX + 1], asid: u32) -> Option<&AtomicU64> {
    counts.get(asid as usize)
}

/// Something was taken out of an ASID's nested tables. Returns which change that was.
pub fn tables_change(asid: u32) -> u64 {
    if !ON {
        return 0;
    }
    of_asid(&CHANGES, asid).map_or(0, |changes| changes.fetch_add(1, Ordering::SeqCst) + 1)
}

/// No processor has any of what a change took away.
pub fn change_is_over(asid: u32, change: u64) {
    if ON && let Some(over) = of_asid(&OVER, asid) {
        over.fetch_max(change, Ordering::SeqCst);
    }
}

fn with_this<R>(f: impl FnOnce(&mut [Option<Holder>; VMS_MAX + 1]) -> R) -> Option<R> {
    HELD.get(this_cpu_number() as usize).map(|held| f(&mut held.lock()))
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
    (both as u32 as usize, both & tlb_control::ALL)
}

/// There is a new vCPU in a place.
pub fn vcpu_made(vmcb: &Vmcb) {
    if ON && let Some(lives) = LIVES.get(identity(vmcb).0) {
        lives.fetch_add(1, Ordering::Relaxed);
    }
}

/// A vCPU is about to be entered, by the long way: what its VMM has changed is there, and it may be flushed.
pub fn guest_enters(vmcb: &Vmcb) {
    if !ON {
        return;
    }
    let ((vcpu, life), (asid, flush)) = (identity(vmcb), asid_and_flush(vmcb));
    // What is changed from here on is not forgotten by this entry's flush.
    if let Some((entered, changes)) = ENTERED.get(this_cpu_number() as usize).zip(CHANGES.get(asid)) {
        entered.store(changes.load(Ordering::SeqCst), Ordering::SeqCst);
    }
    let held = with_this(|held| held.get(asid).copied().flatten()).flatten();
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
    let entered = ENTERED.get(this_cpu_number() as usize).map_or(0, |changes| changes.load(Ordering::SeqCst));
    let mut new = Holder { vcpu, life, paging: paging(vmcb), changes: entered };
    let held = with_this(|held| {
        if flush == FLUSH_ALL {
            *held = [None; VMS_MAX + 1];
        }
        let place = held.get_mut(asid)?;
        if flush == FLUSH_ASID {
            *place = None;
        }
        // Without a flush there may be entries from as long ago as the last one.
        new.changes = place.map_or(entered, |held| held.changes);
        place.replace(new)
    });
    if let Some(held) = held.flatten()
        && (held.vcpu, held.life) != (vcpu, life)
    {
        panic!("TLB: vCPU {vcpu} ran with translations of ASID {asid} that were vCPU {}'s", held.vcpu);
    }
    let over = OVER.get(asid).map_or(0, |over| over.load(Ordering::SeqCst));
    if new.changes < over {
        panic!("TLB: vCPU {vcpu} ran with translations from before change {over} of ASID {asid}'s tables");
    }
}

/// The same, called by the entry code of a kernel for tests.
///
/// # Safety
/// The page is a vCPU's, which this processor has just run.
pub unsafe extern "C" fn guest_left_by_short_way(page: *mut RunPage) {
    // SAFETY: the caller's promise: a vCPU's pages are mapped for ever.
    guest_left(unsafe { Vmcb::beside(SharedRunPage::new(page)) });
}
