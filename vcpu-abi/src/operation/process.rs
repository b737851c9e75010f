//! Operations on processes: their handles, threads and memory.

macro_rules! process_operations {
    ([$next:ident $($rest:ident)*] $($before:tt)*) => { $next! { [$($rest)*] $($before)*
    /// Gives a process that does not run yet a handle of the caller's.
    ProcessGrant(Process, 1, WRITE) {
        /// In: the caller's handle; it must have GRANT.
        source: Handle,
        /// In: what the child's handle allows; bits the source lacks are refused.
        rights: u32,
        /// Out: the child's handle.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// Starts a process. Its first thread enters with `RDI` = address of a copy of the start page.
    ProcessStart(Process, 2, RUN) {
        /// In: address of what it is told, at most a page.
        start_page: u64,
        /// In: its length in bytes.
        bytes: u64,
        /// In: the processor it runs on.
        cpu: u32,
        /// In: priority, 0 (lowest) to 3.
        priority: u32,
    }
    /// What became of a process.
    ProcessState(Process, 3, READ) {
        /// Out: 0 not started, 1 running, 2 ended.
        state: u32,
        /// Out: exit code, when ended.
        code: u32,
        /// Out: for an exception: RIP.
        rip: u64,
        /// Out: for a page fault: the address.
        address: u64,
        /// Out: for an exception: its error code.
        error_code: u64,
    }
    /// Asks for an event to be signalled when the process ends; at most four events do.
    ProcessWatch(Process, 4, READ) {
        /// In: an event of the caller's.
        event: Handle,
        /// Zero.
        reserved: u32,
    }
    /// Gives the calling process zeroed memory, readable and writable. On [`HANDLE_SELF`] only.
    ProcessAllocate(Process, 5, WRITE) {
        /// In: where, page-aligned.
        address: u64,
        /// In: how much, in whole pages.
        bytes: u64,
    }
    /// Starts a thread in the calling process. On [`HANDLE_SELF`] only.
    ThreadCreate(Process, 6, WRITE) {
        /// In: RIP.
        entry: u64,
        /// In: RSP.
        stack: u64,
        /// In: RDI.
        argument: u64,
        /// In: the processor it runs on.
        cpu: u32,
        /// In: priority, at most the process's.
        priority: u32,
    }
    /// Creates an event in the calling process. On [`HANDLE_SELF`] only.
    EventCreate(Process, 7, WRITE) {
        /// Out: the event, with all rights.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// Closes one of the calling process's handles. On [`HANDLE_SELF`] only.
    HandleClose(Process, 8, WRITE) {
        /// In: the handle; not [`HANDLE_SELF`].
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// Takes memory out of the calling process: what it was given, mapped guest memory, whatever is there.
    /// What was its own is given back. On [`HANDLE_SELF`] only.
    ProcessUnmap(Process, 10, WRITE) {
        /// In: where, page-aligned.
        address: u64,
        /// In: how much, in whole pages.
        bytes: u64,
    }
    /// Asks that the calling process's threads may use the FPU: its registers are then saved and restored at
    /// their switches. On [`HANDLE_SELF`] only.
    ProcessUseFpu(Process, 9, WRITE) {
        /// Zero.
        reserved: u64,
    }
    /// Makes another handle to what one of the calling process's is for, which allows no more. On
    /// [`HANDLE_SELF`] only.
    HandleNarrow(Process, 15, WRITE) {
        /// In: the handle; not [`HANDLE_SELF`].
        source: Handle,
        /// In: what the new one allows; bits the source lacks are refused.
        rights: u32,
        /// Out: the new handle.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// Ends a process that runs, as if it had ended itself with this exit code.
    ProcessEnd(Process, 20, WRITE) {
        /// In: its exit code; bit 31 is cleared.
        code: u32,
        /// Zero.
        reserved: u32,
    }
    /// Creates an endpoint in the calling process. On [`HANDLE_SELF`] only.
    EndpointCreate(Process, 11, WRITE) {
        /// Out: the endpoint, with all rights.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// Sets a limit of what a process that does not run yet may use, with all processes that it makes.
    ProcessLimit(Process, 13, WRITE) {
        /// In: of what: [`budget`].
        budget: u32,
        /// Zero.
        reserved: u32,
        /// In: the limit.
        limit: u64,
    }
    /// How much of a budget a process uses, and may use.
    ProcessBudget(Process, 14, READ) {
        /// In: which: [`budget`].
        budget: u32,
        /// Zero.
        reserved: u32,
        /// Out: the least of its own limit and those of the processes that made it; `u64::MAX` for none.
        limit: u64,
        /// Out: what is used, with what processes use that it made.
        used: u64,
    }
    /// Creates zeroed memory that several processes may map. On [`HANDLE_SELF`] only.
    SharedCreate(Process, 12, WRITE) {
        /// In: its size, in whole pages.
        bytes: u64,
        /// Out: the memory, with all rights.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    } };
}
