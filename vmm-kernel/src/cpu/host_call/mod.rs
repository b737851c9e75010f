//! What the kernel asks of the host: ports, model-specific registers and CPUID. Every one of the kernel's own
//! accesses goes through here, since a platform whose host may not see the kernel's registers has to make a
//! call of each ([`calls`]); the host's APICs are reached by [`local_apic`](super::local_apic) and
//! [`io_apic`](super::io_apic) alone.

pub mod calls;
pub mod cpuid;
pub mod msr;
pub mod ports;
