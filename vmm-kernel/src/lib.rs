//! Plinth's kernel: memory, tasks, IPC and vCPU entry; nothing else.
//!
//! It boots in named stages, from the state an IGVM file's context describes (see `vcpu_abi::boot`), brings
//! up every processor, starts the process `init` from the image's files with a handle to everything, and from
//! then on only answers system calls, interrupts and guests' exits.
//!
//! A library, so that what needs no machine of its own is tested on the host; `main.rs` makes the image of
//! it.
#![cfg_attr(target_os = "none", no_std)]
#![allow(
    clippy::new_without_default,
    reason = "statics are made by `const fn new`, which `Default` could not be"
)]

pub mod abi;
pub mod channel;
pub mod checks;
pub mod console;
pub mod cpu;
pub mod event;
pub mod guest;
#[cfg(not(target_os = "none"))]
pub mod host;
pub mod image;
pub mod layout;
pub mod life;
pub mod log_ring;
pub mod machine;
pub mod memory;
#[cfg(target_os = "none")]
mod no_heap;
pub mod object;
pub mod pci;
pub mod platform;
pub mod run_page;
pub mod start;
pub mod sync;
pub mod task;
pub mod trap;
pub mod volatile;
