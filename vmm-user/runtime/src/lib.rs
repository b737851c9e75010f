//! The runtime of a Plinth process: entry, start page, heap, system calls, threads, log, panic report.
//!
//! A process is a bare-metal binary that depends on this crate and says `runtime::main!(main)`. On the host,
//! the crate builds for checking only: nothing there makes a system call.
#![no_std]

extern crate alloc;

pub mod batch;
pub mod channel;
pub mod entry;
pub mod event;
pub mod guest_range;
pub mod heap;
pub mod host_function;
pub mod host_serial;
pub mod lives;
pub mod logger;
pub mod process;
pub mod serve;
pub mod shared;
pub mod start;
pub mod sync;
pub mod syscall;
pub mod thread;
pub mod window;

pub use start::Start;
pub use syscall::{call, exit};
pub use vcpu_abi as abi;
