//! Tasks: processes, threads, events, handles, and the scheduler of each processor.

mod alarm;
pub mod elf;
pub mod exchange;
pub mod files;
pub mod handle;
pub mod last_named;
pub mod loading;
pub mod mapped;
pub mod passed;
pub mod process;
pub mod run_time;
pub mod scheduler;
mod sleepers;
pub mod thread;
