//! Tests the files that another process serves, by two clients: a writer with the folder `a/`, which also
//! asks what makes no sense, and a reader of everything, which looks at what the writer has left and at the
//! files of the image. `vmm-user/config/files.conf` starts them.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod reader;
mod writer;

use core::fmt::Debug;

use file_link::client::{Client, Failure, Link};
use file_link::{MEMORY_MAX, Refusal};
use runtime::abi::operation::{Handle, SystemEnd, SystemInfo, end_reason};
use runtime::channel::Channel;
use runtime::event::Event;
use runtime::{Start, call, syscall};

/// The file that both know: its size, and each byte.
const DATA_BYTES: usize = 100_003;

fn data(at: usize) -> u8 {
    (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]
}

/// What the writer writes into it as it is mapped, and where.
const MARK: u64 = 0x1122_3344_5566_7788;
const MARK_WORD: usize = 1000;

/// A client's test.
struct Test {
    client: Client<Link>,
    channel: Channel,
    ticks_second: u64,
    failures: u32,
    checks: u32,
}

impl Test {
    fn check(&mut self, holds: bool, what: core::fmt::Arguments<'_>) {
        self.checks += 1;
        if !holds {
            self.failures += 1;
            log::error!("FAILED: {what}");
        }
    }

    fn expect<T: Debug>(&mut self, what: &str, found: Result<T, Failure>, refusal: Refusal) {
        let holds = matches!(found, Err(Failure::Refused(why)) if why == refusal);
        self.check(holds, format_args!("{what}: {found:?}, not {refusal:?}"));
    }

    /// What a step that has to succeed gave; `None` counts as a failure.
    fn done<T>(&mut self, what: &str, found: Result<T, Failure>) -> Option<T> {
        let failure = found.as_ref().err().copied();
        self.check(failure.is_none(), format_args!("{what}: {failure:?}"));
        found.ok()
    }
}

fn end(system: Handle, failures: u32) -> u32 {
    let reason = if failures == 0 { end_reason::TESTS_PASSED } else { end_reason::TESTS_FAILED };
    let _ = call(system, SystemEnd { reason, reserved: 0 });
    1
}

/// The process. The reader ends the machine, or whoever finds something wrong.
pub fn program(start: &Start) -> u32 {
    let Some(system) = start.handle("system") else { return 1 };
    let Ok(info) = call(system, SystemInfo::default()) else { return 1 };
    let Some(channel) = start.handle("files.ram").map(Channel) else { return end(system, 1) };
    let mut client = match Client::new(channel, MEMORY_MAX) {
        Ok(client) => client,
        Err(status) => {
            log::error!("no memory to share: {status}");
            return end(system, 1);
        }
    };
    let ticks_second = info.tsc_hz.max(1);
    client.way.deadline_tsc = syscall::tsc().saturating_add(120 * ticks_second);
    let mut test = Test { client, channel, ticks_second, failures: 0, checks: 0 };
    let is_writer = start.setting("role") == Some("writer");
    let ran = if is_writer { writer::run(&mut test) } else { reader::run(&mut test) };
    // A step that the others depend on; it has been logged.
    let failures = if ran.is_none() { test.failures.max(1) } else { test.failures };
    let role = if is_writer { "writer" } else { "reader" };
    log::info!("{role}: {} checks, {failures} failures", test.checks);
    if !is_writer || failures > 0 {
        return end(system, failures);
    }
    // Its files are there as long as the server is, and so is it.
    let Ok(never) = Event::try_new() else { return 1 };
    let _ = never.wait();
    0
}
