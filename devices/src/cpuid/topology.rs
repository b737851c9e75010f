//! N cores of one thread each in one package, as every leaf that speaks of it says.

use super::{CpuidPolicy, Leaf, Vendor};

impl CpuidPolicy {
    /// Bits of an APIC ID that number the core.
    pub(super) fn core_bits(&self) -> u32 {
        self.cpus.max(1).next_power_of_two().trailing_zeros()
    }

    /// Leaf 0Bh, subleaf 0 (thread) and 1 (core) (SDM 2A; APM 3, E.3.11).
    pub(super) fn extended_topology(&self, subleaf: u32) -> Leaf {
        // Another subleaf is of no kind, which is how software finds that it has seen them all.
        let (shift, count, kind) = match subleaf {
            0 => (0, 1, 1 << 8),
            1 => (self.core_bits(), self.cpus & 0xffff, 2 << 8),
            _ => (0, 0, 0),
        };
        Leaf { eax: shift, ebx: count, ecx: kind | subleaf & 0xff, edx: self.apic_id }
    }

    /// Leaf 4 of Intel: the host's cache, shared as our topology has it.
    pub(super) fn cache_intel(&self, host: Leaf) -> Leaf {
        let level = host.eax >> 5 & 7;
        // Each vCPU is a core of its own, and cores share the third level.
        let sharing = if level >= 3 { self.cpus.max(1).next_power_of_two() - 1 } else { 0 };
        // Six bits, which count the IDs that cores may have rather than the cores.
        let cores = (self.cpus.max(1).next_power_of_two() - 1).min(0x3f);
        Leaf { eax: host.eax & 0x3ff | (sharing & 0xfff) << 14 | cores << 26, edx: host.edx & 7, ..host }
    }

    /// Leaf 8000_001Dh of AMD: the same.
    pub(super) fn cache_amd(&self, host: Leaf) -> Leaf {
        let level = host.eax >> 5 & 7;
        let sharing = if level >= 3 { self.cpus - 1 } else { 0 };
        Leaf { eax: host.eax & 0x3ff | (sharing & 0xfff) << 14, edx: host.edx & 3, ..host }
    }

    /// Leaf 8000_0008h ECX: number of cores less one, and how many APIC ID bits number them.
    pub(super) fn core_count(&self, vendor: Vendor) -> u32 {
        match vendor {
            Vendor::Amd => (self.cpus - 1).min(0xff) | self.core_bits().min(15) << 12,
            Vendor::Other => 0,
        }
    }

    /// Leaf 8000_001Eh: APIC ID, core ID with one thread, node 0 of one.
    pub(super) fn processor_topology(&self) -> Leaf {
        Leaf { eax: self.apic_id, ebx: self.apic_id & 0xff, ecx: 0, edx: 0 }
    }
}
