//! The system calls. There are nine; everything else is an [operation](crate::operation) in a batch.
//!
//! Convention: `SYSCALL` with the number in `RAX`, arguments in `RDI`, `RSI`, `RDX`; the answer is a
//! [`Status`](crate::status::Status) code in `EAX` and a second value in `RDX`. `RBX`, `RBP`, `RSP` and
//! `R12`-`R15` are kept, but by calls whose message is in registers; every other general register is lost.
//! `RCX` and `R11` are the instruction's own (APM volume 3, SYSCALL).

/// Ends the calling process. `RDI`: exit code. Does not return.
pub const SYS_EXIT: u64 = 0;
/// Executes operations. `RDI`: address of an array of [`Operation`](crate::operation::Operation), `RSI`: how
/// many, at most [`BATCH_MAX`](crate::operation::BATCH_MAX). Returns the status of the first operation that
/// stopped the batch, and in `RDX` its index (or the count, when all were done). Each operation's own status
/// and output are written back to the array.
pub const SYS_BATCH: u64 = 1;
/// Executes the vCPU's pending batch and runs it. `RDI`: vCPU handle. The operations lie in the vCPU's batch
/// page, their number in its run page. Of the registers only `RBX`, `RBP` and `RSP` are kept; RFLAGS comes
/// back as a process begins with it. Returns as [`SYS_BATCH`], but beside
/// [`Status::Ok`](crate::status::Status::Ok) the [`reason`](crate::exit::reason) for which the guest stopped,
/// with [`NOTABLE`](crate::exit::NOTABLE) or without; the exit record says more.
pub const SYS_RUN: u64 = 2;
/// Lets other threads of the same priority run first. `RDI`: a TSC value, until which all others run, also
/// those of lower priority, for a millisecond at most; one that has passed, as 0, is none.
pub const SYS_YIELD: u64 = 3;
/// Ends the calling thread. The process ends with its last thread.
pub const SYS_THREAD_EXIT: u64 = 4;
/// Calls a server and waits for its reply. `RDI`: channel handle, which needs SIGNAL. `RSI`: address of a
/// [`Message`](crate::message::Message), over which the reply is written.
pub const SYS_CALL: u64 = 5;
/// Waits for the next call, or for the signal of an event that is bound to the endpoint. `RDI`: endpoint
/// handle, which needs WAIT. `RSI`: address of a [`Message`](crate::message::Message), over which what comes
/// is written. `RDX`: flags, [`RECEIVE_REPLY`](crate::message::RECEIVE_REPLY). Returns in `RDX` what came:
/// [`received`](crate::message::received).
pub const SYS_RECEIVE: u64 = 6;
/// As [`SYS_CALL`], with a message of nothing but its first
/// [`REGISTER_WORDS`](crate::message::REGISTER_WORDS) words, which `R8`, `R9`, `R10` and `R12` have; the rest
/// is zero. `RDX`: the deadline. After [`Status::Ok`](crate::status::Status::Ok) `RDX` is one of
/// [`came`](crate::message::came): where the reply is. `R12` is not kept.
pub const SYS_CALL_WORDS: u64 = 7;
/// As [`SYS_RECEIVE`] with a reply of nothing but its first words, in the same registers. `RDX`: the
/// deadline. Returns in `RDX` what came, as [`SYS_RECEIVE`], or
/// [`received::WORDS`](crate::message::received::WORDS). `R12` is not kept.
pub const SYS_RECEIVE_WORDS: u64 = 8;
/// The first number that is no call.
pub const SYS_END: u64 = 9;

/// Exit codes that the kernel gives a process it ends; a process's own codes have bit 31 clear.
pub mod exit_code {
    /// A processor exception the process caused; the vector is in the low byte.
    pub const FAULT: u32 = 0x8000_0000;
    /// A system call number that does not exist.
    pub const BAD_CALL: u32 = 0x8000_0100;
}
