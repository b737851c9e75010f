//! What a processor may have cached of guests' translations, and when it is asked to forget it (APM volume 2,
//! 15.16).
//!
//! Entries are tagged with the ASID, which all vCPUs of a VM share, and VMs that follow each other in the
//! same place too. So a processor flushes when it enters another vCPU than the one before, and at the first
//! entry of a new one. In between only what is taken out of the nested tables has to be forgotten, or
//! narrowed there: who does it asks every processor that has vCPUs of the VM, by an interrupt
//! (`memory::shootdown`), and waits until each has left its guest and forgotten which vCPU it had selected
//! (`ready.deselect`). Whatever it enters next is then another one.
//!
//! An ASID for each vCPU would save the flush where several share a processor, which they do not in practice;
//! but there may be more of them than a processor has ASIDs (16 in QEMU).

use core::sync::atomic::{AtomicU64, Ordering};

use super::vmcb::{Vmcb, tlb_control};
use crate::cpu::cpuid;

/// CPUID 8000_000Ah EDX: a flush by ASID can be asked for.
const FLUSH_BY_ASID: u32 = 1 << 6;

/// The value of TLB_CONTROL that flushes no more than it must.
static FLUSH: AtomicU64 = AtomicU64::new(tlb_control::FLUSH_ALL);

/// Looks what the processor offers; once, at boot.
pub fn start() {
    // The leaf is there: nested paging is in it, which this backend needs.
    if cpuid(0x8000_000a, 0).edx & FLUSH_BY_ASID != 0 {
        FLUSH.store(tlb_control::FLUSH_ASID, Ordering::Relaxed);
    }
}

/// Makes the next entry forget the translations of the vCPU's ASID.
pub fn ask_flush(vmcb: &Vmcb) {
    vmcb.control.asid_and_tlb_control.update(|bits| bits | FLUSH.load(Ordering::Relaxed));
}

/// The guest was entered: the next entry need not flush again. VMRUN leaves the field as it is.
pub fn is_flushed(vmcb: &Vmcb) {
    vmcb.control.asid_and_tlb_control.update(|bits| bits & !tlb_control::ALL);
}

#[cfg(test)]
mod tests;
