//! TSC_AUX, which RDTSCP and RDPID return: the guest's own.
//!
//! VMRUN, VMLOAD and VMSAVE leave the register alone, and the kernel has no use for it. So a processor keeps
//! what its last guest had, and it is written only where the next one wants another. A process may read it
//! meanwhile: it is a number by which a guest knows its processors, and neither the kernel's nor another
//! process's.
#![allow(unsafe_code, reason = "writes an MSR")]

use core::sync::atomic::{AtomicBool, Ordering};

use super::vmcb::Vmcb;
use crate::cpu::{Cpuid, cpuid, msr, this_cpu};

/// Whether the processors have the register.
static EXISTS: AtomicBool = AtomicBool::new(false);

/// Whether CPUID offers an instruction that reads it (APM volume 3, appendix E.3.6 and E.4.2).
fn is_offered(seven: Cpuid, extended: Cpuid) -> bool {
    const RDPID: u32 = 1 << 22;
    const RDTSCP: u32 = 1 << 27;
    seven.ecx & RDPID != 0 || extended.edx & RDTSCP != 0
}

/// Looks whether the processors have it; once, at boot.
pub fn start() {
    EXISTS.store(is_offered(cpuid(7, 0), cpuid(0x8000_0001, 0)), Ordering::Relaxed);
}

/// Loads the guest's, before it is entered.
#[inline(always)]
pub fn load(vmcb: &Vmcb) {
    let wanted = u64::from(vmcb.control.tsc_aux.get());
    if wanted != this_cpu().tsc_aux.get() {
        change(wanted);
    }
}

#[cold]
fn change(value: u64) {
    // Where there is no such register the VMM's value stands in the run page and does nothing: WRMSR would
    // fault.
    if EXISTS.load(Ordering::Relaxed) {
        // SAFETY: nothing of the kernel depends on it, the register exists, and the upper half is zero.
        unsafe { msr::write(msr::TSC_AUX, value) };
    }
    this_cpu().tsc_aux.set(value);
}

#[cfg(test)]
mod tests {
    use super::is_offered;
    use crate::cpu::Cpuid;

    #[test]
    fn either_instruction_is_enough() {
        let none = Cpuid { eax: 0, ebx: 0, ecx: 0, edx: 0 };
        let rdpid = Cpuid { ecx: 1 << 22, ..none };
        let rdtscp = Cpuid { edx: 1 << 27, ..none };
        let table = [(none, none, false), (rdpid, none, true), (none, rdtscp, true), (rdtscp, rdpid, false)];
        for (seven, extended, expected) in table {
            assert_eq!(is_offered(seven, extended), expected, "{seven:?} {extended:?}");
        }
    }
}
