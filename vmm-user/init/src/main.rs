//! The first process: starts the others as `init.conf` says, each with the handles it needs, and deals with
//! their ends.
//!
//! `init.conf` is text, a statement a line, `#` begins a comment:
//!
//! ```text
//! process NAME          begins a process, made of the file NAME
//!   grant HANDLE RIGHTS gives it a handle of init's; RIGHTS: letters of `rwmcsaxg`, see `rights`
//!   set KEY VALUE       tells it something
//!   cpu N               the processor its first thread runs on (0)
//!   priority N          0 to 3 (1)
//!   on-end POLICY       restart, end-machine (the default), or ignore
//! for NAME              more statements of a process that was begun before
//! channel NAME          makes a channel: NAME goes to who calls, NAME-endpoint to who serves
//! include NAME          reads the file NAME of the image as if it stood here
//! ```
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

mod config;
mod supervise;

use alloc::string::String;

use runtime::Start;

runtime::main!(program);

fn program(start: &Start) -> u32 {
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
    let read = |name: &str| {
        let text = runtime::process::open(files, name).and_then(runtime::process::read).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    };
    match config::parse(&String::from_utf8_lossy(&text), &read) {
        Ok(config) => supervise::run(start, files, &config),
        Err(error) => {
            log::error!("init.conf: {error}");
            supervise::end_machine(start)
        }
    }
}
