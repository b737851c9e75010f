//! A child that does not outlive us.
#![allow(unsafe_code, reason = "what runs between fork and exec is the system's affair")]

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the system kill the child when the thread that starts it ends, however that comes about: a machine
/// that nobody watches would run for ever.
pub fn die_with_us(command: &mut Command) {
    let parent = std::process::id();
    let ask = move || {
        // SAFETY: prctl and getppid are async-signal-safe, and these calls take no pointers.
        let failed = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0;
        // SAFETY: as above.
        let orphan = unsafe { libc::getppid() }.cast_unsigned() != parent;
        if failed || orphan { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: the closure allocates nothing, takes no lock and calls async-signal-safe functions only.
    unsafe { command.pre_exec(ask) };
}
