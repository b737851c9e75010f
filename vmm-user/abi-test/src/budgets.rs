//! Budgets: each is used up by a child, which is told which one it was; meanwhile others have theirs, and all
//! of it is there again afterwards.

use alloc::vec::Vec;

use runtime::abi::operation::{
    HANDLE_SELF, Handle, ProcessAllocate, ProcessBudget, ProcessLimit, ProcessUnmap, Rights, SystemCreateVm,
    SystemProcess, budget,
};
use runtime::abi::process_record::ProcessRecord;
use runtime::abi::status::Status;
use runtime::channel::Endpoint;
use runtime::event::Event;
use runtime::shared::SharedMemory;
use runtime::{Start, call, heap, process, syscall, thread};

use crate::child::{self, Child};
use crate::suite::Suite;

/// What a child of these tests is, and a little more: pages that it takes by itself.
const PROGRAM_BYTES: u64 = 1 << 20;

/// A budget, the limit of the child's, and what it is told in the end.
const ALL: [(u32, u64, Status); 6] = [
    (budget::MEMORY, PROGRAM_BYTES, Status::OutOfMemory),
    (budget::HANDLES, 20, Status::OutOfHandles),
    (budget::THREADS, 5, Status::OutOfThreads),
    (budget::EVENTS, 6, Status::OutOfEvents),
    (budget::PROCESSES, 1, Status::OutOfProcesses),
    (budget::OBJECTS, 7, Status::OutOfObjects),
];

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    arguments(suite);
    for (number, limit, status) in ALL {
        // The first one maps what stays for the next: stacks of threads.
        let _ = spend(suite, number, limit, status);
        let before = suite.free_bytes();
        let answer = spend(suite, number, limit, status);
        let expected = Ok((0, limit, true));
        suite.check(answer == expected, format_args!("budget {number}, used up by a child: {answer:?}"));
        // A thread's stacks stay with who had one meanwhile.
        let after = number == budget::THREADS || suite.settles_at(before);
        suite.check(after, format_args!("{} free of {before}", suite.free_bytes()));
    }
    let seen = grandchildren(suite);
    suite.check(seen == Ok([0; 3]), format_args!("children of a child with budgets: {seen:?}"));
    for how in ["spin", "ring"] {
        let percent = share(suite, how, 20);
        let holds = percent.is_ok_and(|percent| (2..=60).contains(&percent));
        suite.check(holds, format_args!("a child with a share of 20 percent that does {how}: {percent:?}"));
        let percent = share(suite, how, 0);
        let holds = percent.is_ok_and(|percent| percent > 60);
        suite.check(holds, format_args!("one without a share: {percent:?}"));
    }
}

fn set_limit(process: Handle, number: u32, limit: u64) -> Result<(), Status> {
    call(process, ProcessLimit { budget: number, reserved: 0, limit }).map(drop)
}

fn look(process: Handle, number: u32) -> Result<(u64, u64), Status> {
    call(process, ProcessBudget { budget: number, reserved: 0, limit: 0, used: 0 })
        .map(|found| (found.limit, found.used))
}

fn arguments(suite: &mut Suite<'_>) {
    let new = process::open(suite.files, "abi-test").and_then(process::create).unwrap_or(0);
    for (number, limit, status) in [
        (budget::END, 1, Status::BadArgument),
        (u32::MAX, 1, Status::BadArgument),
        (budget::PRIORITY, 4, Status::BadArgument),
        (budget::SHARE, 0, Status::BadArgument),
        (budget::PRIORITY, 0, Status::Ok),
        (budget::HANDLES, u64::MAX, Status::Ok),
        (budget::MEMORY, 8191, Status::Ok),
    ] {
        suite.expect(set_limit(new, number, limit), status, format_args!("a limit of {limit} for {number}"));
    }
    suite.expect(look(new, budget::END), Status::BadArgument, format_args!("a budget that there is not"));
    let seen = [budget::PRIORITY, budget::HANDLES, budget::MEMORY].map(|number| look(new, number));
    let holds = matches!(seen, [Ok((0, 0)), Ok((94, 0)), Ok((4096, used))] if used > 100 * 4096);
    suite.check(holds, format_args!("budgets of a new process: {seen:?}"));
    let page = 0u64;
    let start = process::start(new, &page.to_le_bytes(), 0, 1);
    suite.expect(start, Status::BadArgument, format_args!("a start above its priority"));
    suite.expect(process::close(new), Status::Ok, format_args!("closing it"));
    let itself = set_limit(HANDLE_SELF, budget::EVENTS, 5);
    suite.expect(itself, Status::WrongState, format_args!("a limit of one's own"));
    let runs = Child::new(suite, "nothing").and_then(|child| child.start(0, 1));
    let limited = runs.and_then(|child| {
        let limited = set_limit(child.handle, budget::EVENTS, 5);
        child.join(suite)?;
        Ok(limited)
    });
    suite.check(limited == Ok(Err(Status::WrongState)), format_args!("one that runs: {limited:?}"));
}

/// A child uses a budget up, and waits. Returns its code, what of the budget it used then, and whether this
/// process got the same meanwhile.
fn spend(suite: &Suite<'_>, number: u32, limit: u64, status: Status) -> Result<(u32, u64, bool), Status> {
    let (full, end) = (Event::try_new()?, Event::try_new()?);
    let child = Child::new(suite, "spender")?
        .grant("full", full.0, Rights::SIGNAL)?
        .grant("end", end.0, Rights::WAIT)?
        .grant("system", suite.system, Rights::READ | Rights::CREATE)?
        .grant("files", suite.files, Rights::READ | Rights::RUN)?
        .set("budget", number)
        .set("status", status as i32);
    set_limit(child.handle, number, limit)?;
    let child = child.start(suite.cpus - 1, 1)?;
    full.wait_until(suite.in_us(60_000_000))?;
    let (_, used) = look(child.handle, number)?;
    let others_go_on = one_of(suite.start, number).is_ok();
    end.signal()?;
    let code = child.join(suite)?.code;
    process::close(full.0)?;
    process::close(end.0)?;
    Ok((code, used, others_go_on))
}

/// Takes one of what a budget is of, and gives it back where that can be done.
fn one_of(start: &Start, number: u32) -> Result<(), Status> {
    if number == budget::MEMORY {
        let address = heap::reserve(4096).ok_or(Status::NotFound)?;
        call(HANDLE_SELF, ProcessAllocate { address, bytes: 4096 })?;
        return call(HANDLE_SELF, ProcessUnmap { address, bytes: 4096 }).map(drop);
    }
    let made = take(start, number, 0)?;
    if made == 0 { Ok(()) } else { process::close(made) }
}

/// Takes one of what a budget is of. Returns its handle, if it has one.
fn take(start: &Start, number: u32, count: u64) -> Result<Handle, Status> {
    match number {
        budget::MEMORY => {
            let address = heap::reserve(4096).ok_or(Status::NotFound)?;
            call(HANDLE_SELF, ProcessAllocate { address, bytes: 4096 }).map(|_| 0)
        }
        budget::THREADS => {
            let wait = || {
                // Until the process ends.
                let _ = Event::try_new().and_then(Event::wait);
            };
            thread::spawn(0, 0, wait).map(|()| 0)
        }
        budget::PROCESSES => {
            let file = process::open(start.handle("files").ok_or(Status::NotFound)?, "abi-test")?;
            let made = process::create(file);
            process::close(file)?;
            made
        }
        budget::OBJECTS => match count % 4 {
            0 => Endpoint::try_new().map(|made| made.0),
            1 => SharedMemory::try_new(4096).map(|made| made.0),
            2 => Endpoint::try_new().and_then(|endpoint| {
                let channel = endpoint.channel(0);
                process::close(endpoint.0)?;
                // The channel keeps its endpoint.
                channel.map(|made| made.0)
            }),
            _ => {
                let system = start.handle("system").ok_or(Status::NotFound)?;
                call(system, SystemCreateVm::default()).map(|made| made.handle)
            }
        },
        _ => Event::try_new().map(|made| made.0),
    }
}

/// The child: takes until it is refused, with the status that it was told.
pub fn spender(start: &Start) -> u32 {
    let run = || -> Result<u32, Status> {
        let [full, end] = ["full", "end"].map(|name| Event(start.handle(name).unwrap_or_default()));
        let number = child::number(start, "budget") as u32;
        let mut made = Vec::with_capacity(128);
        let mut count = 0;
        let why = loop {
            match take(start, number, count) {
                Ok(handle) => made.push(handle),
                Err(status) => break status,
            }
            count += 1;
        };
        if why as u64 != child::number(start, "status") {
            return Ok(100 + why as u32);
        }
        full.signal()?;
        end.wait()?;
        // What is given back can be had again.
        if let Some(handle) = made.pop().filter(|handle| *handle != 0) {
            process::close(handle)?;
            if number != budget::OBJECTS {
                take(start, number, count)?;
            }
        }
        Ok(if count > 0 { 0 } else { 2 })
    };
    run().unwrap_or(1)
}

/// A child with budgets, whose children count for it: how each of its attempts went.
fn grandchildren(suite: &Suite<'_>) -> Result<[u32; 3], Status> {
    let mut codes = [0; 3];
    for (what, code) in [("memory", 0), ("priority", 1), ("events", 2)] {
        let child = Child::new(suite, "parent")?
            .grant("files", suite.files, Rights::READ | Rights::RUN)?
            .set("what", what);
        // Enough for itself, and not for another of its kind.
        set_limit(child.handle, budget::MEMORY, if what == "memory" { PROGRAM_BYTES } else { u64::MAX })?;
        set_limit(child.handle, budget::PRIORITY, 1)?;
        set_limit(child.handle, budget::EVENTS, 4)?;
        if let Some(place) = codes.get_mut(code) {
            *place = child.start(0, 1)?.join(suite)?.code;
        }
    }
    Ok(codes)
}

/// The child with budgets.
pub fn parent(start: &Start) -> u32 {
    let run = || -> Result<u32, Status> {
        let file = process::open(start.handle("files").ok_or(Status::NotFound)?, "abi-test")?;
        if start.setting("what") == Some("memory") {
            // A few fit; then no more do, though the machine has memory.
            let mut made = Vec::new();
            return Ok(loop {
                match process::create(file) {
                    Ok(_) if made.len() > 8 => break 3,
                    Ok(child) => made.push(child),
                    Err(Status::OutOfMemory) => break 0,
                    Err(_) => break 2,
                }
            });
        }
        let child = process::create(file)?;
        if start.setting("what") == Some("priority") {
            let [high, low] =
                [2, 1].map(|priority| process::start(child, b"set role nothing\n", 0, priority));
            return Ok(u32::from((high, low) != (Err(Status::BadArgument), Ok(()))));
        }
        // It leaves the grandchild two of its events.
        let mine = [Event::try_new()?, Event::try_new()?];
        set_limit(child, budget::EVENTS, 90)?;
        let end = Event::try_new()?;
        call(child, runtime::abi::operation::ProcessWatch { event: end.0, reserved: 0 })?;
        process::start(child, b"set role two-events\n", 0, 1)?;
        end.wait()?;
        let state = call(child, runtime::abi::operation::ProcessState::default())?;
        mine.iter().try_for_each(|event| process::close(event.0))?;
        Ok(state.code)
    };
    run().unwrap_or(1)
}

/// The grandchild: its own limit is 90, but only one is left of those above it.
pub fn two_events() -> u32 {
    let made: Vec<_> = core::iter::from_fn(|| Event::try_new().ok()).collect();
    match (made.len(), Event::try_new()) {
        (1, Err(Status::OutOfEvents)) => 0,
        (count, _) => 10 + count as u32,
    }
}

/// How much a child ran that wants to run all the time, in percent.
fn share(suite: &Suite<'_>, how: &str, percent: u64) -> Result<u64, Status> {
    let bell = Event::try_new()?;
    let child = Child::new(suite, "worker")?.grant("bell", bell.0, Rights::SIGNAL)?.set("how", how);
    if percent > 0 {
        set_limit(child.handle, budget::SHARE, percent)?;
    }
    let child = child.start(suite.cpus - 1, 1)?;
    let wait = Event::try_new()?;
    // It has begun by then.
    let _ = wait.wait_until(suite.in_us(100_000));
    let (begin, before) = (syscall::tsc(), ran(suite)?);
    let _ = wait.wait_until(suite.in_us(1_500_000));
    let ran = ran(suite)? - before;
    let time = syscall::tsc() - begin;
    call(child.handle, runtime::abi::operation::ProcessEnd { code: 0, reserved: 0 })?;
    child.join(suite)?;
    process::close(bell.0)?;
    process::close(wait.0)?;
    Ok(ran * 100 / time)
}

/// How long the youngest process has run.
fn ran(suite: &Suite<'_>) -> Result<u64, Status> {
    let (mut record, mut serial) = (ProcessRecord::default(), 0);
    let address = (&raw mut record) as u64;
    while let Ok(found) = call(suite.system, SystemProcess { serial, address }) {
        serial = found.serial + 1;
    }
    if serial == 0 { Err(Status::NotFound) } else { Ok(record.run_tsc) }
}

/// The child that wants to run all the time.
pub fn worker(start: &Start) -> u32 {
    let bell = Event(start.handle("bell").unwrap_or_default());
    loop {
        match start.setting("how") {
            Some("ring") => {
                if bell.signal().is_err() {
                    return 1;
                }
            }
            _ => core::hint::spin_loop(),
        }
    }
}
