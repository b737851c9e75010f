//! The processor: its per-CPU area, descriptor tables, the entry code of interrupts and system calls, FPU,
//! APICs and time. What an interrupt or a system call means is decided on the floors above.

pub mod calibration;
pub mod descriptors;
pub mod exception_names;
pub mod features;
pub mod fpu;
pub mod fpu_owner;
pub mod host_call;
pub mod interrupts;
pub mod io_apic;
pub mod local_apic;
pub mod masked_time;
pub mod masking;
pub mod per_cpu;
pub mod ready;
pub mod room;
pub mod speculation;
pub mod syscall_entry;
pub mod time;
pub mod xsave_image;

pub use host_call::calls::Cpuid;
pub use host_call::cpuid::cpuid;
pub use host_call::{msr, ports};
pub use per_cpu::{PerCpu, this_cpu, this_cpu_number};
