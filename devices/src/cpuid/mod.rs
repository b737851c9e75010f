//! What CPUID says: a table made once a vCPU from the host's answers and a policy, and looked up at each
//! exit.
//!
//! The policy is an allow-list. A feature reaches the guest only if it is in `features`, which means that it
//! works in the guest without our help or that we emulate it; every bit and leaf not understood reads 0. The
//! host's answers are hostile: they may make the guest's CPU poorer or make it lie about its own
//! instructions, never reach past a table.
//!
//! # Calibration
//!
//! Linux (6.1 to 7.x, `native_calibrate_tsc` and `cpu_khz_from_cpuid`) reads leaves 15h and 16h only where
//! the vendor string is Intel's, and the vendor must not be changed under a CPU that executes AMD's
//! instructions (SYSENTER and SYSCALL differ in compatibility mode, and so do errata and mitigations). So on
//! an AMD host the leaves serve other guests (and Linux on Intel); Linux itself takes `tsc_early_khz=` on its
//! command line for the TSC, and still measures the CPU's own clock against PIT channel 2 for a few
//! milliseconds. Invariant TSC (8000_0007h) must be there on AMD: without it Linux calls the TSC unstable as
//! soon as there are two CPUs.

mod features;
mod frequency;
mod table;
mod topology;
mod xsave;

pub use frequency::crystal_ratio;
pub use table::{CpuidTable, Live};

/// The crystal of leaf 15h, and the frequency the local APIC timer counts at before its divider.
pub const CRYSTAL_HZ: u32 = crate::apic::APIC_TIMER_HZ as u32;

/// One answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaf {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// What the guest's CPUs are to be.
#[derive(Clone, Copy, Debug)]
pub struct CpuidPolicy {
    /// This vCPU's APIC ID.
    pub apic_id: u32,
    /// How many vCPUs there are, each a core with one thread in one package; IDs are 0 to `cpus - 1`.
    pub cpus: u32,
    /// TSC frequency.
    pub tsc_hz: u64,
    /// Guest-physical address bits, at most; the host's own number is the other bound.
    pub physical_bits: u8,
    /// The TSC runs at a constant rate in all states (leaf 8000_0007h).
    pub invariant_tsc: bool,
    /// The kernel switches TSC_AUX, so that RDTSCP and RDPID give the guest's own.
    pub tsc_aux: bool,
    /// PKRU is looked at wherever the guest's accesses are emulated.
    pub protection_keys: bool,
    /// Room for a guest's XSAVE area, in the standard form: states that do not fit are not offered.
    pub xsave_bytes: u32,
}

impl CpuidPolicy {
    /// `cpus` CPUs, everything offered that works on any backend.
    pub fn new(apic_id: u32, cpus: u32, tsc_hz: u64) -> Self {
        Self {
            apic_id,
            cpus: cpus.max(1),
            tsc_hz,
            physical_bits: 46,
            invariant_tsc: true,
            tsc_aux: false,
            protection_keys: true,
            xsave_bytes: 8192,
        }
    }
}

/// Makes of CPU that differ in which leaves describe them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vendor {
    Amd,
    Other,
}

impl Vendor {
    fn of(leaf_0: Leaf) -> Self {
        let text = [leaf_0.ebx, leaf_0.edx, leaf_0.ecx].map(u32::to_le_bytes);
        match text.as_flattened() {
            b"AuthenticAMD" | b"HygonGenuine" => Self::Amd,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests;
