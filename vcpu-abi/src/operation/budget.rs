//! What a process has a budget of: numbers of [`ProcessLimit`](super::ProcessLimit) and
//! [`ProcessBudget`](super::ProcessBudget).

/// Memory, in bytes: pages of its own, and tables that map pages.
pub const MEMORY: u32 = 0;
/// Handles.
pub const HANDLES: u32 = 1;
/// Threads.
pub const THREADS: u32 = 2;
/// Events.
pub const EVENTS: u32 = 3;
/// Processes that it makes, and those make.
pub const PROCESSES: u32 = 4;
/// Endpoints, channels, shared memory, virtual machines and virtual processors.
pub const OBJECTS: u32 = 5;
/// The highest priority that its threads, and those of processes that it starts, may have.
pub const PRIORITY: u32 = 6;
/// How much its threads run, in percent of one processor.
pub const SHARE: u32 = 7;
/// One more than the last.
pub const END: u32 = 8;
