//! Has processors forget what they may have cached of tables that have changed: a TLB shootdown.
//!
//! A processor is asked by an interrupt, which also takes it out of its guest, and says when it has done it.
//! Who asks waits for that, with interrupts allowed: others may ask at the same time, and wait for this one.
//! The waiting thread holds no lock, since who spins for one takes no interrupts.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::loaded;
use crate::cpu::{PerCpu, local_apic, masking, per_cpu, this_cpu};
use crate::layout::MAX_CPUS;

/// What to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum What {
    /// The translations of the guest that the processor enters next.
    Guest = 1 << 0,
    /// Those of the address space that it has loaded.
    Space = 1 << 1,
}

/// What a processor is asked for.
struct Requests {
    /// What it is to forget: the bits of [`What`].
    wanted: AtomicU32,
    /// How often it was asked, after `wanted` was set.
    asked: AtomicU64,
    /// How many of these it has answered.
    answered: AtomicU64,
}

static REQUESTS: [Requests; MAX_CPUS] =
    [const { Requests { wanted: AtomicU32::new(0), asked: AtomicU64::new(0), answered: AtomicU64::new(0) } };
        MAX_CPUS];

fn requests_of(cpu: &PerCpu) -> &'static Requests {
    &REQUESTS[cpu.number as usize % MAX_CPUS]
}

/// Has those processors forget it that `may_have` it, this one too. What it is about has been changed before,
/// so that a processor which comes to have it later finds the change.
pub fn forget(what: What, may_have: impl Fn(&PerCpu) -> bool) {
    if cfg!(not(target_os = "none")) {
        // An ordinary program, which tests a part of the kernel, has no processors.
        return;
    }
    // The change is seen before anybody is looked at.
    core::sync::atomic::fence(Ordering::SeqCst);
    let this = this_cpu();
    for cpu in per_cpu::all().filter(|cpu| may_have(cpu)) {
        if cpu.number == this.number {
            forget_here(what as u32);
            continue;
        }
        let requests = requests_of(cpu);
        // First what, then that it was asked: who answers reads them the other way round, and never says that
        // it has done what it has not seen.
        requests.wanted.fetch_or(what as u32, Ordering::SeqCst);
        requests.asked.fetch_add(1, Ordering::SeqCst);
        local_apic::ask_to_forget(cpu.apic_id);
    }
    // All are asked before the first is waited for, so that they forget at the same time.
    for requests in per_cpu::all().map(requests_of) {
        // What others have asked a processor for up to here comes with it.
        let asked = requests.asked.load(Ordering::SeqCst);
        while requests.answered.load(Ordering::SeqCst) < asked {
            // Another processor may wait here for this one: without its interrupt both would wait for ever.
            masking::take_pending();
            core::hint::spin_loop();
        }
    }
}

/// The interrupt that asks this processor.
pub fn asked() {
    let requests = requests_of(this_cpu());
    // Whoever asked up to here has set what is wanted before.
    let asked = requests.asked.load(Ordering::SeqCst);
    forget_here(requests.wanted.swap(0, Ordering::SeqCst));
    // Last: who reads it gives the frames to others at once.
    requests.answered.store(asked, Ordering::SeqCst);
}

fn forget_here(wanted: u32) {
    if wanted & What::Guest as u32 != 0 {
        this_cpu().entry.ready.deselect();
    }
    if wanted & What::Space as u32 != 0 {
        loaded::reload();
    }
}
