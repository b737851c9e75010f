//! Operations on the machine as a whole, and on the log.

macro_rules! system_operations {
    ([$next:ident $($rest:ident)*] $($before:tt)*) => { $next! { [$($rest)*] $($before)*
    /// Facts about the machine.
    SystemInfo(System, 1, READ) {
        /// Out: frequency of the TSC in Hz, as calibrated.
        tsc_hz: u64,
        /// Out: physical memory that Plinth keeps for itself, in bytes.
        kept_bytes: u64,
        /// Out: of that, how much is free.
        free_bytes: u64,
        /// Out: processors that run.
        cpus: u32,
        /// Out: `BOOT_FLAG_*` of the image.
        boot_flags: u32,
        /// Out: TSC value when the kernel was entered.
        boot_tsc: u64,
    }
    /// Ends the machine. Does not come back.
    SystemEnd(System, 2, WRITE) {
        /// In: [`end_reason`].
        reason: u32,
        /// Zero.
        reserved: u32,
    }
    /// The host's CPUID: hostile.
    SystemCpuid(System, 3, READ) {
        /// In: EAX; out: EAX.
        eax: u32,
        /// Out.
        ebx: u32,
        /// In: ECX; out: ECX.
        ecx: u32,
        /// Out.
        edx: u32,
    }
    /// What the kernel handled by itself, without an exit to the VMM.
    SystemHandled(System, 4, READ) {
        /// In: index into [`handled`].
        index: u32,
        /// Zero.
        reserved: u32,
        /// Out: how often, on all processors.
        count: u64,
    }
    /// Creates a VM.
    SystemCreateVm(System, 5, CREATE) {
        /// Out: the VM, with all rights.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// What is known of a process: a [`ProcessRecord`](crate::process_record::ProcessRecord).
    SystemProcess(System, 6, READ) {
        /// In: the lowest serial number that it may have; out: the process's, the lowest from there on.
        serial: u64,
        /// In: address of 64 bytes for the record.
        address: u64,
    }
    /// Makes a handle to a range of the host's ports.
    SystemPorts(System, 7, GRANT) {
        /// In: the first port.
        first: u32,
        /// In: how many.
        count: u32,
        /// Out: the range, with all rights.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// Writes a line to the log. Control characters are replaced, what is over 240 bytes is cut.
    LogWrite(Log, 1, WRITE) {
        /// In: address of the text.
        address: u64,
        /// In: its length in bytes.
        bytes: u64,
        /// In: 1 error, 2 warning, 3 information, 4 debug.
        level: u32,
        /// Zero.
        reserved: u32,
    }
    /// Reads what was written to the log, of all processes and of the kernel.
    LogRead(Log, 2, READ) {
        /// In: number of the first byte that is wanted, counted from the log's first; out: that of the first
        /// byte that was read.
        from: u64,
        /// In: where to.
        address: u64,
        /// In: how much at most; out: how much was read.
        bytes: u64,
        /// Out: how many of the bytes that are wanted have been overwritten.
        lost: u64,
        /// Out: number of the byte that will be written next.
        end: u64,
    }
    } };
}

/// Why the machine ends, for [`SystemEnd`](super::SystemEnd).
pub mod end_reason {
    /// The guest switched itself off.
    pub const POWER_OFF: u32 = 0;
    /// The guest asked for a reset.
    pub const RESET: u32 = 1;
    /// The guest's processor shut down (triple fault).
    pub const TRIPLE_FAULT: u32 = 2;
    /// The process that ran the guest failed.
    pub const PROCESS_FAILED: u32 = 3;
    /// In-guest tests passed.
    pub const TESTS_PASSED: u32 = 4;
    /// In-guest tests failed.
    pub const TESTS_FAILED: u32 = 5;
    /// The first number that is no reason.
    pub const END: u32 = 6;
}

/// What the kernel handles by itself, for [`SystemHandled`](super::SystemHandled).
pub mod handled {
    /// Host interrupts while a guest ran.
    pub const HOST_INTERRUPT: u32 = 0;
    /// Host NMIs while a guest ran.
    pub const HOST_NMI: u32 = 1;
    /// The first number that is none.
    pub const END: u32 = 2;
    /// The names, by number.
    pub const NAMES: [&str; END as usize] = ["host interrupt", "host nmi"];
}
