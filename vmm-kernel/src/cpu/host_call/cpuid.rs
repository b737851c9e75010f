//! CPUID, as the host answers it.

use super::calls::{self, Cpuid};

/// The host's CPUID.
pub fn cpuid(leaf: u32, subleaf: u32) -> Cpuid {
    if let Some(calls) = calls::get() {
        return (calls.cpuid)(leaf, subleaf);
    }
    // Miri has no such instruction.
    if cfg!(miri) {
        return Cpuid { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    }
    let r = core::arch::x86_64::__cpuid_count(leaf, subleaf);
    Cpuid { eax: r.eax, ebx: r.ebx, ecx: r.ecx, edx: r.edx }
}
