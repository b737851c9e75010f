//! The system calls, as functions.
#![allow(unsafe_code, reason = "SYSCALL")]

use vcpu_abi::message::{Message, REGISTER_WORDS, came, received};
use vcpu_abi::operation::{Call, Handle, Operation};
use vcpu_abi::status::Status;
use vcpu_abi::syscall::{
    SYS_BATCH, SYS_CALL, SYS_CALL_WORDS, SYS_EXIT, SYS_RECEIVE, SYS_RECEIVE_WORDS, SYS_RUN, SYS_YIELD,
};

/// SYSCALL with these operands, and the registers that every call changes (see `vcpu_abi::syscall`).
macro_rules! system_call {
    ($($operands:tt)*) => {
        core::arch::asm!(
            "syscall",
            $($operands)*
            lateout("rcx") _,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
            options(nostack),
        )
    };
}

/// Any system call: number, two arguments; the two results.
///
/// # Safety
/// What the call does must be sound: the kernel writes to the memory the arguments name.
#[inline(always)]
pub unsafe fn raw(number: u64, first: u64, second: u64) -> (u64, u64) {
    let (status, value): (u64, u64);
    // SAFETY: the registers the kernel changes are named (see `vcpu_abi::syscall`); the rest is the caller's
    // promise.
    unsafe {
        system_call!(
            inlateout("rax") number => status,
            inlateout("rdi") first => _,
            inlateout("rsi") second => _,
            lateout("rdx") value,
        );
    }
    (status, value)
}

/// The same with a third argument.
///
/// # Safety
/// As for [`raw`].
#[inline(always)]
pub unsafe fn raw3(number: u64, first: u64, second: u64, third: u64) -> (u64, u64) {
    let (status, value): (u64, u64);
    // SAFETY: as in `raw`.
    unsafe {
        system_call!(
            inlateout("rax") number => status,
            inlateout("rdi") first => _,
            inlateout("rsi") second => _,
            inlateout("rdx") third => value,
        );
    }
    (status, value)
}

/// A system call whose message is in registers: number, handle, where what has more than a few words goes,
/// deadline, words. Returns status, second result, words and key.
///
/// # Safety
/// As for [`raw`].
#[inline(always)]
pub unsafe fn raw_words(
    number: u64,
    handle: u64,
    address: u64,
    deadline_tsc: u64,
    words: &mut [u64; 4],
) -> (u64, u64, u64) {
    let (status, second, key): (u64, u64, u64);
    // The fourth word goes in R12: SYSCALL itself overwrites RCX and R11.
    let [one, two, three, four] = *words;
    let (new_one, new_two, new_three, new_four): (u64, u64, u64, u64);
    // SAFETY: as in `raw`.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => status,
            inlateout("rdi") handle => _,
            inlateout("rsi") address => key,
            inlateout("rdx") deadline_tsc => second,
            inlateout("r8") one => new_one,
            inlateout("r9") two => new_two,
            inlateout("r10") three => new_three,
            inlateout("r12") four => new_four,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    *words = [new_one, new_two, new_three, new_four];
    (status, second, key)
}

/// `SYS_RUN`, which leaves hardly a register as it was. `vcpu` is a handle, or what is none.
///
/// # Safety
/// As for [`raw`].
#[inline(always)]
pub unsafe fn raw_run(vcpu: u64) -> (u64, u64) {
    let (status, value): (u64, u64);
    // SAFETY: as in `raw`.
    unsafe {
        system_call!(
            inlateout("rax") SYS_RUN => status,
            inlateout("rdi") vcpu => _,
            lateout("rdx") value,
            lateout("rsi") _,
            lateout("r12") _,
            lateout("r13") _,
            lateout("r14") _,
            lateout("r15") _,
        );
    }
    (status, value)
}

fn status(code: u64) -> Status {
    Status::from_code(code as i32).unwrap_or(Status::WrongState)
}

/// Executes operations, in order. On failure: the status, and the index of the operation that stopped the
/// batch.
pub fn batch(operations: &mut [Operation]) -> Result<(), (Status, usize)> {
    // SAFETY: the kernel writes within the slice, which is borrowed mutably, and where the operations' own
    // payloads say; those are made by `call` and its like from memory they own.
    let (code, index) = unsafe { raw(SYS_BATCH, operations.as_mut_ptr() as u64, operations.len() as u64) };
    status(code).into_result().map_err(|s| (s, index as usize))
}

/// Executes one operation and returns its payload with the results.
pub fn call<C: Call>(handle: Handle, payload: C) -> Result<C, Status> {
    let mut operation = [payload.on(handle)];
    batch(&mut operation).map_err(|(status, _)| status)?;
    Ok(C::from_operation(&operation[0]))
}

/// Runs a vCPU, after the operations in its batch page. Returns the [`reason`](vcpu_abi::exit::reason) for
/// which the guest stopped, with [`NOTABLE`](vcpu_abi::exit::NOTABLE) or without.
#[inline(always)]
pub fn run(vcpu: Handle) -> Result<u32, (Status, usize)> {
    // SAFETY: the kernel writes the run page, whose fields are only reached by volatile or atomic accesses,
    // or by the thread that calls this.
    let (code, value) = unsafe { raw_run(u64::from(vcpu)) };
    if code == 0 { Ok(value as u32) } else { Err((status(code), value as usize)) }
}

/// Calls over a channel; the reply is in the message afterwards.
#[inline(always)]
pub fn call_channel(channel: Handle, message: &mut Message) -> Result<(), Status> {
    // SAFETY: the kernel reads and writes the message, which is borrowed mutably.
    let (code, _) = unsafe { raw(SYS_CALL, u64::from(channel), &raw mut *message as u64) };
    status(code).into_result()
}

/// Receives at an endpoint, after a reply if `flags` say so. Returns what is in the message: `received`.
#[inline(always)]
pub fn receive(endpoint: Handle, message: &mut Message, flags: u64) -> Result<u64, Status> {
    // SAFETY: as in `call_channel`.
    let (code, what) = unsafe { raw3(SYS_RECEIVE, u64::from(endpoint), &raw mut *message as u64, flags) };
    status(code).into_result().map(|()| what)
}

/// Calls over a channel with a few words. Returns whether the reply is in the words: else it is in the
/// message.
#[inline(always)]
pub fn call_words(
    channel: Handle,
    words: &mut [u64; REGISTER_WORDS],
    message: &mut Message,
    deadline_tsc: u64,
) -> Result<bool, Status> {
    let address = &raw mut *message as u64;
    // SAFETY: as in `call_channel`.
    let (code, came, _) =
        unsafe { raw_words(SYS_CALL_WORDS, u64::from(channel), address, deadline_tsc, words) };
    // What most calls come to.
    if (code, came) == (Status::Ok as u64, came::WORDS) { Ok(true) } else { call_rare(code) }
}

#[cold]
fn call_rare(code: u64) -> Result<bool, Status> {
    status(code).into_result().map(|()| false)
}

/// Replies with a few words, then receives at an endpoint. Returns the key of a call that is in the words;
/// else what is in the message: `received`.
#[inline(always)]
pub fn receive_words(
    endpoint: Handle,
    words: &mut [u64; REGISTER_WORDS],
    message: &mut Message,
    deadline_tsc: u64,
) -> Result<Result<u64, u64>, Status> {
    let address = &raw mut *message as u64;
    // SAFETY: as in `call_channel`.
    let (code, what, key) =
        unsafe { raw_words(SYS_RECEIVE_WORDS, u64::from(endpoint), address, deadline_tsc, words) };
    // What most calls are.
    if (code, what) == (Status::Ok as u64, received::WORDS) { Ok(Ok(key)) } else { receive_rare(code, what) }
}

#[cold]
fn receive_rare(code: u64, what: u64) -> Result<Result<u64, u64>, Status> {
    status(code).into_result().map(|()| Err(what))
}

/// Lets others of this thread's priority run.
pub fn yield_now() {
    yield_until(0);
}

/// Lets all others of this processor run, whatever their priority, until a TSC value, or for a millisecond.
pub fn yield_until(tsc: u64) {
    // SAFETY: touches no memory.
    unsafe { raw(SYS_YIELD, tsc, 0) };
}

/// Ends the process.
pub fn exit(code: u32) -> ! {
    loop {
        // SAFETY: does not come back.
        unsafe { raw(SYS_EXIT, u64::from(code), 0) };
    }
}

/// The processor's time-stamp counter.
pub fn tsc() -> u64 {
    // SAFETY: RDTSC reads a counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}
