//! The tests in order, and their verdict.

use runtime::abi::operation::{Handle, Rights, SystemEnd, SystemInfo, end_reason};
use runtime::abi::status::Status;
use runtime::{Start, call, syscall};

use crate::child::Child;
use crate::{
    arguments, batches, bindings, budgets, channels, clearing, control, exceptions, exhaustion, faults, fire,
    fpu, fuzz, handles, isolation, killing, lives, narrowing, observe, page_race, pci, placing, ready,
    reserved, revocation, ring, run_page, runs, shared, sleeps, staying, threads, translations, tsc_aux,
    turns, unmapping, unready, vm, wakes, xsave,
};

/// What every test needs: the handles, facts, and the count of failures.
pub struct Suite<'a> {
    /// What the process was told.
    pub start: &'a Start,
    /// The machine.
    pub system: Handle,
    /// The image's files.
    pub files: Handle,
    /// Guest memory.
    pub memory: Handle,
    /// Processors that run.
    pub cpus: u32,
    /// TSC ticks of a microsecond.
    pub ticks_us: u64,
    failures: u32,
    checks: u32,
}

impl<'a> Suite<'a> {
    fn new(start: &'a Start) -> Option<Self> {
        let system = start.handle("system")?;
        let info = call(system, SystemInfo::default()).ok()?;
        Some(Self {
            start,
            system,
            files: start.handle("files")?,
            memory: start.handle("guest-memory")?,
            cpus: info.cpus,
            ticks_us: (info.tsc_hz / 1_000_000).max(1),
            failures: 0,
            checks: 0,
        })
    }

    /// Counts a check; a failed one is logged.
    pub fn check(&mut self, holds: bool, what: core::fmt::Arguments<'_>) {
        self.checks += 1;
        if !holds {
            self.failures += 1;
            log::error!("FAILED: {what}");
        }
    }

    /// Checks what an operation answered.
    pub fn expect<T>(&mut self, result: Result<T, Status>, status: Status, what: core::fmt::Arguments<'_>) {
        let got = result.err().unwrap_or(Status::Ok);
        self.check(got == status, format_args!("{what}: {got:?}, not {status:?}"));
    }

    /// Memory that the kernel has free.
    pub fn free_bytes(&self) -> u64 {
        call(self.system, SystemInfo::default()).map_or(0, |i| i.free_bytes)
    }

    /// TSC value in so many microseconds.
    pub fn in_us(&self, micros: u64) -> u64 {
        syscall::tsc().wrapping_add(self.ticks_us * micros)
    }

    /// Waits until as much memory is free as there was; what ends on another processor takes a moment.
    pub fn settles_at(&self, free_bytes: u64) -> bool {
        let deadline = self.in_us(5_000_000);
        while self.free_bytes() != free_bytes {
            if syscall::tsc() > deadline {
                return false;
            }
            syscall::yield_now();
        }
        true
    }
}

/// A name and what it runs.
type Part = (&'static str, fn(&mut Suite<'_>));

/// The tests, each in a process of its own.
const PARTS: [Part; 42] = [
    ("arguments", arguments::test),
    ("handles", handles::test),
    ("reserved fields", reserved::test),
    ("batches", batches::test),
    ("calls", faults::test_calls),
    ("faults", faults::test),
    ("isolation", isolation::test),
    ("observe", observe::test),
    ("lives", lives::test),
    ("threads", threads::test),
    ("sleeps", sleeps::test),
    ("staying", staying::test),
    ("bindings", bindings::test),
    ("killing", killing::test),
    ("channels", channels::test),
    ("fpu", fpu::test),
    ("xsave", xsave::test),
    ("control", control::test),
    ("exceptions", exceptions::test),
    ("clearing", clearing::test),
    ("vm", vm::test),
    ("tsc aux", tsc_aux::test),
    ("translations", translations::test),
    ("revocation", revocation::test),
    ("placing", placing::test),
    ("fire", fire::test),
    ("runs", runs::test),
    ("unmapping", unmapping::test),
    ("narrowing", narrowing::test),
    ("shared", shared::test),
    ("ring", ring::test),
    // Before the tests that leave memory in pieces: it asks for a megabyte at once.
    ("pci", pci::test),
    ("ready", ready::test),
    ("unready", unready::test),
    ("turns", turns::test),
    ("wakes", wakes::test),
    ("end in a guest", vm::test_ends),
    ("exhaustion", exhaustion::test),
    ("budgets", budgets::test),
    ("run page", run_page::test),
    ("page race", page_race::test),
    ("fuzz", fuzz::test),
];

/// What a part is given of what the suite has.
const GRANTS: [(&str, Rights); 7] = [
    ("log", Rights::READ.union(Rights::WRITE).union(Rights::GRANT)),
    ("system", Rights::READ.union(Rights::WRITE).union(Rights::CREATE).union(Rights::GRANT)),
    ("files", Rights::all()),
    ("guest-memory", Rights::all()),
    ("serial-ports", Rights::READ.union(Rights::WRITE).union(Rights::GRANT)),
    ("host-pci", Rights::READ.union(Rights::CREATE).union(Rights::GRANT)),
    ("serial-interrupt", Rights::READ.union(Rights::WAIT).union(Rights::GRANT)),
];

/// A part, in its process. Its exit code is the number of failures.
pub fn part(start: &Start) -> u32 {
    let wanted = start.setting("part").unwrap_or("");
    let Some((name, test)) = PARTS.iter().find(|(name, _)| *name == wanted) else { return NO_PART };
    let Some(mut suite) = Suite::new(start) else { return NO_PART };
    test(&mut suite);
    let (failures, checks) = (suite.failures, suite.checks);
    log::info!("abi-test {name}: {} ({checks} checks)", if failures == 0 { "ok" } else { "FAILED" });
    failures
}

/// The exit code of a part that could not begin.
const NO_PART: u32 = 10_000;

fn run_part(suite: &Suite<'_>, name: &str) -> Result<u32, Status> {
    let mut child = Child::new(suite, "part")?.set("part", name);
    for name in page_race::SETTINGS.into_iter().chain([fire::SETTING]) {
        if let Some(value) = suite.start.setting(name) {
            child = child.set(name, value);
        }
    }
    for (name, rights) in GRANTS {
        child = child.grant(name, suite.start.handle(name).ok_or(Status::NotFound)?, rights)?;
    }
    Ok(child.start(0, 2)?.join(suite)?.code)
}

/// Runs all parts and ends the machine.
pub fn run(start: &Start) -> u32 {
    let Some(mut suite) = Suite::new(start) else {
        log::error!("abi-test lacks a handle");
        return 1;
    };
    let only = start.setting("only");
    for (name, _) in PARTS.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        let failures = run_part(&suite, name);
        suite.check(failures == Ok(0), format_args!("{name}: {failures:?}"));
    }
    log::info!("abi-test: {} parts, {} failures, {} cpus", suite.checks, suite.failures, suite.cpus);
    let reason = if suite.failures == 0 { end_reason::TESTS_PASSED } else { end_reason::TESTS_FAILED };
    let _ = call(suite.system, SystemEnd { reason, reserved: 0 });
    1
}
