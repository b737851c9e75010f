//! What the kernel says of a process to one that may see all of them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Longest name of a process that is kept; a longer one is cut.
pub const PROCESS_NAME_BYTES: usize = 16;

/// A process, as [`SystemProcess`](crate::operation::SystemProcess) shows it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ProcessRecord {
    /// Its number, which no other process has had or will have.
    pub serial: u64,
    /// Its name, filled up with zeros.
    pub name: [u8; PROCESS_NAME_BYTES],
    /// As in [`ProcessState`](crate::operation::ProcessState): 0 not started, 1 running, 2 ended.
    pub state: u32,
    /// Exit code, when ended.
    pub code: u32,
    /// Threads that have not ended.
    pub threads: u32,
    /// Handles it holds, but for the one to itself.
    pub handles: u32,
    /// Memory of its own, in bytes: program, stacks, what it asked for, and shared memory that it has mapped.
    /// Page tables do not count, nor guest memory.
    pub memory_bytes: u64,
    /// How long its threads have run, in ticks of the TSC, those that ended included. The guest's time is
    /// its vCPUs' threads' time.
    pub run_tsc: u64,
    /// Highest priority of its threads.
    pub priority: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<ProcessRecord>() == 64);
