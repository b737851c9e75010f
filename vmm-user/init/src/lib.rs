//! The first process: starts the others as `init.conf` says, each with the handles it needs, and deals with
//! their ends.
//!
//! `init.conf` is text, a statement a line, `#` begins a comment:
//!
//! ```text
//! process NAME          begins a process
//!   file NAME           the file it is made of (the one of its name)
//!   grant HANDLE RIGHTS gives it a handle of init's; RIGHTS: letters of `rwmcsaxg`, see `rights`
//!   set KEY VALUE       tells it something
//!   files SERVER ACCESS [FOLDER/]
//!                       gives it a name space: files that are served at the channel SERVER, those in the
//!                       folder; ACCESS: r or rw
//!   cpu N               the processor its first thread runs on (0)
//!   priority N          0 to 3 (1)
//!   budget NAME N       limits what it may use; `docs/abi.md` has the names. K and M behind N: 1024 times
//!   on-end POLICY       restart [TIMES] (5), end-machine (the default), or ignore
//! for NAME              more statements of a process that was begun before
//! channel NAME          makes a channel: NAME goes to who calls, NAME-endpoint to who serves
//! memory NAME GPA BYTES names a part of guest memory, whole pages: a grant of NAME gives it and no more
//! shared NAME BYTES     makes memory that processes share, zeroed at first, which outlives them
//! device NAME PLACE     begins a device of the last process; what follows is for the device
//! range SPACE FIRST COUNT POLICY
//!                       what the guest of the last process finds at ports or memory addresses
//! include NAME          reads the file NAME of the image as if it stood here
//! ```
//!
//! A process with `set reset in-place` that ends with the exit code `runtime::process::GUEST_RESET` is
//! started again whatever its `on-end`, with its devices, any number of times: its guest has reset the
//! machine. They are told how often that was, by `set resets N` on the start page.
//!
//! Grants of NAME.complaint and NAME.lives, of a device in a process of its own, let another process than its
//! owner say by a signal that the device is to be ended: the process of it that it names in the memory.
//!
//! A device's PLACE is `inside` or `process`. Inside, its process gets what the device is granted and told,
//! and the other statements mean nothing. In a process of its own it is made of the file `device-host` and
//! started again when it ends; when that was often enough the machine goes on without it. Such a process has
//! budgets without being given any: `supervise` says which.
//!
//! A range's SPACE is `ports` or `memory`, its POLICY one of three. `emulated`: devices of the process's
//! claim all of it, or the guest does not start. `forwarded`: the guest accesses the host's own; ports alone,
//! and none that the kernel keeps for itself. `absent`: reads give all-ones, writes are dropped, and no
//! device may claim any of it. What no range says is emulated where a device claims it, and absent elsewhere.
//!
//! ```text
//! process vmm
//!   grant system rwc
//! range ports 0xf4 4 forwarded
//! range memory 0xfed40000 4K absent
//! device rtc inside     # or: process
//!   grant clock-ports rw
//! ```
#![no_std]

extern crate alloc;

pub mod config;
mod made;
pub mod supervise;

use alloc::string::String;

use runtime::Start;

/// The process.
pub fn program(start: &Start) -> u32 {
    let Some(files) = start.handle("files") else {
        log::error!("init was given no files");
        return 1;
    };
    let text = match runtime::process::open(files, "init.conf").and_then(runtime::process::read) {
        Ok(text) => text,
        Err(status) => {
            log::error!("init.conf: {status}");
            return supervise::end_machine(start);
        }
    };
    // Files of the image, as `init.conf` is: what is included is measured with it.
    let read = |name: &str| {
        let text = runtime::process::open(files, name).and_then(runtime::process::read).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    };
    // What is no text becomes a letter that no statement has, and so a mistake in its own line.
    match config::parse(&String::from_utf8_lossy(&text), &read) {
        Ok(config) => supervise::run(start, files, &config),
        Err(error) => {
            log::error!("init.conf: {error}");
            supervise::end_machine(start)
        }
    }
}
