//! Counting executed instructions.
//!
//! A child process does the work and its parent lets it go step by step. That is slow and exact: the count is
//! the same in every run, and no counter of the processor is needed, which virtual machines often lack. A
//! repeated string instruction counts once an iteration; a system call is one.

use std::io::{Error, Result};
use std::ptr::null_mut;

/// How often the work is done before it is counted, so that what it makes at first is made.
const WARM_UP: usize = 4;

/// How many instructions `work` executes, and a few hundred for calling it: count no work to know them.
///
/// # Errors
/// If the child can't be made or traced, or does not come to the work's end.
pub fn instructions(mut work: impl FnMut()) -> Result<u64> {
    // SAFETY: the child uses nothing that another thread could have held a lock of: the programs that count
    // have one.
    match unsafe { libc::fork() } {
        -1 => Err(Error::last_os_error()),
        0 => {
            // SAFETY: asks to be traced; the parent is waiting.
            unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, null_mut::<u8>(), null_mut::<u8>()) };
            (0..WARM_UP).for_each(|_| work());
            stop();
            work();
            stop();
            // SAFETY: ends the child without what the parent's exit would do.
            unsafe { libc::_exit(0) }
        }
        child => {
            let count = steps(child);
            // SAFETY: the child has been waited for and not yet reaped, so that the number is its own.
            unsafe { libc::kill(child, libc::SIGKILL) };
            wait(child)?;
            count
        }
    }
}

/// Marks the beginning and the end of what is counted.
fn stop() {
    // SAFETY: stops this process until the parent lets it go on.
    unsafe { libc::raise(libc::SIGSTOP) };
}

fn steps(child: libc::pid_t) -> Result<u64> {
    // The first stop is the end of the warming up.
    if wait(child)? != libc::SIGSTOP {
        return Err(Error::other("the work did not begin"));
    }
    for count in 0.. {
        // SAFETY: the child is stopped, and no memory is given.
        if unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, child, null_mut::<u8>(), null_mut::<u8>()) } != 0 {
            return Err(Error::last_os_error());
        }
        match wait(child)? {
            libc::SIGTRAP => {}
            libc::SIGSTOP => return Ok(count),
            signal => return Err(Error::other(format!("the work ended by signal {signal}"))),
        }
    }
    Err(Error::other("the work has no end"))
}

/// The signal that stopped the child, or 0 if it has ended.
fn wait(child: libc::pid_t) -> Result<libc::c_int> {
    let mut status = 0;
    // SAFETY: the status is written to a variable that lives.
    if unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
        return Err(Error::last_os_error());
    }
    Ok(if libc::WIFSTOPPED(status) { libc::WSTOPSIG(status) } else { 0 })
}
