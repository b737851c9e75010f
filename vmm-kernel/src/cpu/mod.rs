//! The processor: its per-CPU area, descriptor tables, interrupts, local APIC, time, and how the others are started.

pub mod descriptors;
pub mod exceptions;
pub mod features;
pub mod fpu;
pub mod interrupts;
pub mod io_apic;
pub mod local_apic;
pub mod msr;
pub mod per_cpu;
pub mod ports;
pub mod ready;
pub mod smp;
pub mod speculation;
pub mod syscall_entry;
pub mod time;
pub mod xsave_image;

pub use per_cpu::{PerCpu, this_cpu, this_cpu_number};

/// The most processors Plinth runs on.
pub const MAX_CPUS: usize = 64;

/// What CPUID answers.
#[derive(Clone, Copy, Debug)]
pub struct Cpuid {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// The host's CPUID.
pub fn cpuid(leaf: u32, subleaf: u32) -> Cpuid {
    // Miri has no such instruction.
    if cfg!(miri) {
        return Cpuid { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    }
    let r = core::arch::x86_64::__cpuid_count(leaf, subleaf);
    Cpuid { eax: r.eax, ebx: r.ebx, ecx: r.ecx, edx: r.edx }
}
