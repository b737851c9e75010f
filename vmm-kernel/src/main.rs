//! Plinth's kernel: memory, tasks, IPC and vCPU entry; nothing else.
//!
//! It boots in named stages, from the state an IGVM file's context describes (see `vcpu_abi::boot`), brings up every
//! processor, starts the process `init` from the image's files with a handle to everything, and from then on only
//! answers system calls, interrupts and guests' exits.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

mod abi;
mod cpu;
mod log_ring;
mod machine;
mod memory;
mod no_heap;
mod platform;
mod start;
mod sync;
mod task;
mod volatile;

pub use start::prepare_cpu;
