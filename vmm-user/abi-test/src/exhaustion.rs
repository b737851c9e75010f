//! Running out of things is a status, and over when they are given back. Nothing leaks.
#![allow(unsafe_code, reason = "threads that only spin, on stacks of one page")]

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use runtime::abi::operation::{
    HANDLE_SELF, Handle, ProcessAllocate, Rights, SystemCreateVm, ThreadCreate, VcpuCreate,
};
use runtime::abi::status::Status;
use runtime::abi::syscall::SYS_THREAD_EXIT;
use runtime::event::Event;
use runtime::{Start, call, heap, process, syscall};

use crate::child::Child;
use crate::suite::Suite;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    handles(suite);
    processes(suite);
    threads(suite);
    refused_vcpus(suite);
    memory(suite);
    rounds(suite);
}

/// Makes things until there are no more; returns them and why it ended.
fn until_refused(make: impl Fn() -> Result<Handle, Status>) -> (Vec<Handle>, Status) {
    let mut made = Vec::with_capacity(256);
    for _ in 0..256 {
        match make() {
            Ok(handle) => made.push(handle),
            Err(status) => return (made, status),
        }
    }
    (made, Status::Ok)
}

fn twice(suite: &mut Suite<'_>, what: &str, end: Status, make: impl Fn() -> Result<Handle, Status>) {
    let mut counts = [0; 2];
    for count in &mut counts {
        let (made, why) = until_refused(&make);
        *count = made.len();
        suite.check(why == end, format_args!("{what}: {why:?} after {count}"));
        made.into_iter()
            .for_each(|handle| suite.expect(process::close(handle), Status::Ok, format_args!("{what}")));
    }
    suite.check(counts[0] > 0 && counts[0] == counts[1], format_args!("{what}: {counts:?}"));
}

fn handles(suite: &mut Suite<'_>) {
    let system = suite.system;
    twice(suite, "events", Status::OutOfHandles, || Event::try_new().map(|e| e.0));
    twice(suite, "VMs", Status::Exhausted, move || call(system, SystemCreateVm::default()).map(|c| c.handle));
}

fn processes(suite: &mut Suite<'_>) {
    let Ok(file) = process::open(suite.files, "abi-test") else {
        return suite.check(false, format_args!("the program's file"));
    };
    let before = suite.free_bytes();
    twice(suite, "processes", Status::Exhausted, || process::create(file));
    suite.check(
        suite.settles_at(before),
        format_args!("processes leave {} free of {before}", suite.free_bytes()),
    );
    // Processes that hold each other would never go.
    let cycle = || -> Result<Status, Status> {
        let (a, b) = (process::create(file)?, process::create(file)?);
        let first = process::grant(a, b, Rights::empty()).err().unwrap_or(Status::Ok);
        let second = process::grant(b, a, Rights::empty()).err().unwrap_or(Status::Ok);
        process::close(a)?;
        process::close(b)?;
        Ok(if first == second { first } else { Status::Ok })
    };
    let answer = cycle();
    suite.check(
        answer == Ok(Status::WrongState),
        format_args!("two new processes given to each other: {answer:?}"),
    );
    suite
        .check(suite.settles_at(before), format_args!("after that, {} free of {before}", suite.free_bytes()));
    suite.expect(process::close(file), Status::Ok, format_args!("the program's file"));
}

static GO: AtomicU32 = AtomicU32::new(0);

extern "C" fn spin() -> ! {
    while GO.load(Ordering::SeqCst) == 0 {
        syscall::yield_now();
    }
    loop {
        // SAFETY: touches no memory.
        unsafe { syscall::raw(SYS_THREAD_EXIT, 0, 0) };
    }
}

/// Starts idle threads until there are no more, then lets them end. Returns how many there were.
fn idle_threads(suite: &Suite<'_>, stacks: u64) -> (u64, Status) {
    GO.store(0, Ordering::SeqCst);
    let mut count = 0;
    let mut why = Status::Ok;
    while why == Status::Ok && count < 200 {
        let stack = stacks + (count % 8 + 1) * 4096 - 8 - count / 8 * 128;
        let entry = spin as *const () as u64;
        let thread = ThreadCreate { entry, stack, argument: 0, cpu: count as u32 % suite.cpus, priority: 0 };
        match call(HANDLE_SELF, thread) {
            Ok(_) => count += 1,
            Err(status) => why = status,
        }
    }
    GO.store(1, Ordering::SeqCst);
    // They are less urgent than we are.
    if let Ok(event) = Event::try_new() {
        let _ = event.wait_until(suite.in_us(300_000));
        let _ = process::close(event.0);
    }
    (count, why)
}

fn threads(suite: &mut Suite<'_>) {
    let Some(stacks) = heap::pages(8 * 4096) else { return suite.check(false, format_args!("stacks")) };
    let first = idle_threads(suite, stacks);
    let second = idle_threads(suite, stacks);
    suite.check(first.0 > 50 && first.1 == Status::Exhausted, format_args!("threads: {first:?}"));
    suite.check(first == second, format_args!("threads again: {second:?}"));
}

/// The child: takes all memory, says so, and waits until it may give it back by ending.
pub fn hog(start: &Start) -> u32 {
    let (Some(full), Some(end)) = (start.handle("full"), start.handle("end")) else { return 1 };
    let mut address = 0x7000_0000_0000;
    for bytes in [1 << 20, 1 << 16, 4096] {
        loop {
            match call(HANDLE_SELF, ProcessAllocate { address, bytes }) {
                Ok(_) => {}
                Err(Status::Exhausted) => break,
                Err(_) => return 2,
            }
            address += bytes;
        }
        // Part of a range that failed may be there.
        address += bytes;
    }
    if Event(full).signal().is_err() || Event(end).wait().is_err() { 3 } else { 0 }
}

fn memory(suite: &mut Suite<'_>) {
    let Some(stacks) = heap::pages(8 * 4096) else { return suite.check(false, format_args!("stacks")) };
    let before = suite.free_bytes();
    let run = |suite: &Suite<'_>| -> Result<(u64, [Status; 3], u32), Status> {
        let (full, end) = (Event::try_new()?, Event::try_new()?);
        let vm = call(suite.system, SystemCreateVm::default())?.handle;
        let child = Child::new(suite, "hog")?.grant("full", full.0, Rights::SIGNAL)?.grant(
            "end",
            end.0,
            Rights::WAIT,
        )?;
        let child = child.start(0, 1)?;
        full.wait_until(suite.in_us(60_000_000))?;
        let left = suite.free_bytes();
        let answers = [
            // The highest CPU number and place first: what was never used has nothing mapped yet.
            fresh_vcpus(vm),
            process::open(suite.files, "abi-test").and_then(process::create).err().unwrap_or(Status::Ok),
            idle_threads(suite, stacks).1,
        ];
        end.signal()?;
        let code = child.join(suite)?.code;
        process::close(vm)?;
        process::close(full.0)?;
        process::close(end.0)?;
        Ok((left, answers, code))
    };
    let answer = run(suite);
    let holds =
        matches!(answer, Ok((left, answers, 0)) if answers == [Status::Exhausted; 3] && left < 4096 * 16);
    suite.check(holds, format_args!("without memory: {answer:?}"));
    let after = suite.free_bytes();
    suite.check(after + (1 << 20) > before, format_args!("memory comes back: {after} of {before}"));
    // What failed for lack of memory works again.
    threads(suite);
    let vm = call(suite.system, SystemCreateVm::default()).map_or(0, |c| c.handle);
    let vcpu =
        heap::reserve(8192).and_then(|address| call(vm, VcpuCreate { address, cpu: 0, handle: 0 }).ok());
    suite.check(vcpu.is_some(), format_args!("a vCPU after memory was short"));
    for handle in [vcpu.map_or(0, |v| v.handle), vm] {
        suite.expect(process::close(handle), Status::Ok, format_args!("closing vCPU and VM"));
    }
}

/// Creates vCPUs until it fails; returns why.
fn fresh_vcpus(vm: Handle) -> Status {
    let make = || {
        let address = heap::reserve(8192).ok_or(Status::BadArgument)?;
        call(vm, VcpuCreate { address, cpu: 0, handle: 0 }).map(|c| c.handle)
    };
    let (made, why) = until_refused(make);
    made.into_iter().for_each(|handle| {
        let _ = process::close(handle);
    });
    why
}

/// vCPUs whose pages would lie where memory is are refused, and nothing is kept of them, however often.
fn refused_vcpus(suite: &mut Suite<'_>) {
    let run = || -> Result<Option<Status>, Status> {
        let vm = call(suite.system, SystemCreateVm::default())?.handle;
        let taken = heap::pages(8192).ok_or(Status::Exhausted)?;
        let create = |address| call(vm, VcpuCreate { address, cpu: 0, handle: 0 });
        let other = (0..200).find_map(|_| create(taken).err().filter(|status| *status != Status::Overlap));
        let made = create(heap::reserve(8192).ok_or(Status::Exhausted)?)?.handle;
        process::close(made)?;
        process::close(vm)?;
        Ok(other)
    };
    let answer = run();
    suite.check(answer == Ok(None), format_args!("vCPUs over memory: {answer:?}"));
}

/// Many children, one after the other: as much memory is free afterwards as before.
fn rounds(suite: &mut Suite<'_>) {
    let once = |cpu| Child::new(suite, "nothing")?.start(cpu, 1)?.join(suite).map(|s| s.code);
    let _ = once(0);
    let before = suite.free_bytes();
    let failed = (0..60).map(|round| once(round % suite.cpus)).find(|code| *code != Ok(0));
    suite.check(failed.is_none(), format_args!("a child that does nothing: {failed:?}"));
    suite.check(
        suite.settles_at(before),
        format_args!("children leave {} free of {before}", suite.free_bytes()),
    );
}
