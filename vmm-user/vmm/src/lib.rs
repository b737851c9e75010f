//! The virtual machine monitor: runs a guest, and is all of its machine that the processor is not.
//!
//! The process has a thread for each vCPU, pinned to the vCPU's processor. Each runs a loop: enter the guest,
//! read the exit record, give the exit to its owner, enter again; one system call an exit. What a vCPU needs
//! for its ordinary exits (local APIC, CPUID table, MSRs, caches) is its thread's own. The devices of the
//! [`board`] are shared, each behind a lock of its own.
//!
//! The process starts in named stages ([`start`]): handles, guest memory, board, firmware tables, kernel,
//! vCPUs.
#![no_std]

extern crate alloc;

pub mod board;
pub mod clock;
pub mod console;
pub mod device_host;
pub mod disk_key;
pub mod guest_memory;
pub mod handles;
pub mod host_clock;
pub mod measured;
pub mod random;
pub mod start;
pub mod statistics;
pub mod vcpu;
pub mod virtio;

pub use board::Builder;
pub use start::{Extension, program, program_with};
pub use vcpu::{HaltPolicy, SeenExit, Vcpu, Waits, Watch};
