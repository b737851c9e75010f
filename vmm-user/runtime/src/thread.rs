//! Threads: a closure on a stack of its own, on a processor it stays on.
#![allow(unsafe_code, reason = "a closure crosses into the new thread as a pointer")]

use alloc::boxed::Box;

use vcpu_abi::operation::{HANDLE_SELF, ThreadCreate};
use vcpu_abi::status::Status;
use vcpu_abi::syscall::SYS_THREAD_EXIT;

use crate::{heap, syscall};

/// Size of a thread's stack; the page below stays unmapped.
const STACK_BYTES: u64 = 64 * 1024;

type Body = Box<dyn FnOnce() + Send + 'static>;

/// Starts a thread with a stack of 64 KiB.
pub fn spawn(cpu: u32, priority: u32, body: impl FnOnce() + Send + 'static) -> Result<(), Status> {
    spawn_with_stack(cpu, priority, STACK_BYTES, body)
}

/// Starts a thread with a stack of so many bytes, rounded up to whole pages.
pub fn spawn_with_stack(
    cpu: u32,
    priority: u32,
    stack_bytes: u64,
    body: impl FnOnce() + Send + 'static,
) -> Result<(), Status> {
    let stack_bytes = stack_bytes.checked_next_multiple_of(4096).ok_or(Status::Exhausted)?;
    // With a guard: a stack that overflows ends the process, and does not run into other memory.
    let stack = heap::guarded_pages(stack_bytes).ok_or(Status::Exhausted)?;
    // Boxed twice: a pointer to a closure of any type has two words, and a thread is given one.
    let body: Box<Body> = Box::new(Box::new(body));
    let argument = Box::into_raw(body);
    let call = ThreadCreate {
        entry: thread_begin as *const () as u64,
        // As after a call: aligned to 16 but for the return address.
        stack: stack + stack_bytes - 8,
        argument: argument as u64,
        cpu,
        priority,
    };
    syscall::call(HANDLE_SELF, call).map(|_| ()).inspect_err(|_| {
        // SAFETY: the thread was not started, so the closure is still only ours.
        drop(unsafe { Box::from_raw(argument) });
    })
}

extern "C" fn thread_begin(argument: *mut Body) -> ! {
    // SAFETY: `spawn` made the pointer for this thread alone.
    let body = unsafe { Box::from_raw(argument) };
    body();
    exit()
}

/// Ends the calling thread. What lies on its stack is not dropped.
pub fn exit() -> ! {
    loop {
        // SAFETY: does not come back.
        unsafe { syscall::raw(SYS_THREAD_EXIT, 0, 0) };
    }
}
