//! The runtime for a process in C: a library with the entry, the system calls and the start page's handles.
//!
//! The C side is declared in `plinth-runtime.h`, beside this crate's manifest; the numbers and structures are
//! in `vcpu-abi/include/plinth.h`. The program is `int plinth_program(const struct plinth_start *)`.
#![cfg_attr(target_os = "none", no_std)]
#![allow(unsafe_code, reason = "C calls this with pointers")]

use core::ffi::{CStr, c_char};

use runtime::Start;
use vcpu_abi::message::Message;
use vcpu_abi::operation::{Handle, LogWrite, Operation};
use vcpu_abi::status::Status;
use vcpu_abi::syscall::{SYS_BATCH, SYS_CALL, SYS_RECEIVE};

// On the host this library is only checked: what is not bare metal has no C program to call.
#[cfg(target_os = "none")]
mod program {
    use core::ffi::c_void;
    use core::ptr::from_ref;

    use runtime::Start;

    unsafe extern "C" {
        fn plinth_program(start: *const c_void) -> i32;
    }

    runtime::main!(run);

    fn run(start: &Start) -> u32 {
        // SAFETY: to C the type is opaque: all it can do with the pointer is to give it back to
        // `plinth_handle`.
        unsafe { plinth_program(from_ref(start).cast()) }.cast_unsigned()
    }
}

/// A level of [`LogWrite`].
const INFORMATION: u32 = 3;

/// Executes `count` operations. Returns the status; writes how many were done, or the index of the one that
/// stopped the batch, to `index` unless that is null.
///
/// # Safety
/// `index` points to a number or nowhere. The operations' memory, and what their payloads point to, is the
/// caller's to have written; the kernel checks that it is the process's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plinth_batch(operations: *mut Operation, count: usize, index: *mut u64) -> i32 {
    // SAFETY: the caller's promise.
    let (status, at) =
        unsafe { runtime::syscall::raw(SYS_BATCH, operations.expose_provenance() as u64, count as u64) };
    if !index.is_null() {
        // SAFETY: the caller's promise.
        unsafe { index.write(at) };
    }
    status as i32
}

/// Calls over a channel: the reply is in the message afterwards. Returns the status.
///
/// # Safety
/// The message's memory is the caller's to have written; the kernel checks that it is the process's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plinth_call(channel: Handle, message: *mut Message) -> i32 {
    // SAFETY: the caller's promise.
    let (status, _) =
        unsafe { runtime::syscall::raw(SYS_CALL, u64::from(channel), message.expose_provenance() as u64) };
    status as i32
}

/// Receives at an endpoint, after a reply with the message if `flags` say so. Returns the status; writes what
/// came to `what` unless that is null.
///
/// # Safety
/// As for [`plinth_call`]; `what` points to a number or nowhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plinth_receive(
    endpoint: Handle,
    message: *mut Message,
    flags: u64,
    what: *mut u64,
) -> i32 {
    let address = message.expose_provenance() as u64;
    // SAFETY: the caller's promise.
    let (status, came) = unsafe { runtime::syscall::raw3(SYS_RECEIVE, u64::from(endpoint), address, flags) };
    if !what.is_null() {
        // SAFETY: the caller's promise.
        unsafe { what.write(came) };
    }
    status as i32
}

/// Logs a line for information. Returns the status.
///
/// # Safety
/// None of its own: the kernel checks that the text is the process's to read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plinth_log(log: Handle, text: *const c_char, bytes: usize) -> i32 {
    let write = LogWrite {
        address: text.expose_provenance() as u64,
        bytes: bytes as u64,
        level: INFORMATION,
        reserved: 0,
    };
    runtime::call(log, write).map_or_else(|status| status as i32, |_| Status::Ok as i32)
}

/// The handle of that name, or 0.
///
/// # Safety
/// `start` is what the program was given, and `name` a string that ends with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plinth_handle(start: *const Start, name: *const c_char) -> Handle {
    // SAFETY: the caller's promise.
    let (start, name) = unsafe { (&*start, CStr::from_ptr(name)) };
    name.to_str().ok().and_then(|name| start.handle(name)).unwrap_or(0)
}

/// Ends the process.
#[unsafe(no_mangle)]
pub extern "C" fn plinth_exit(code: u32) -> ! {
    runtime::exit(code)
}
