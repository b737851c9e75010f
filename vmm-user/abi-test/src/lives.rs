//! How processes begin and end: once, with a clean start page; and what they held is others' at their end,
//! though somebody still names them.
#![allow(unsafe_code, reason = "a run page at an address of our choice")]

use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use runtime::abi::operation::{
    Call, EventSignal, EventWait, Handle, MemoryMap, MemoryRange, Operation, ProcessEnd, ProcessWatch,
    Rights, SystemCreateVm, VmAllocate,
};
use runtime::abi::run_page::activity;
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::{Start, call, heap, process, syscall, thread};

use crate::child::{self, Child};
use crate::suite::Suite;
use crate::vm::Machine;
use crate::waiters;

/// As many as there are.
const VMS: usize = 4;
/// Behind the run page.
const BATCH_PAGE: usize = 4096;
/// Mapping so much in small pages takes a while.
const MUCH: u64 = 32 << 20;
/// The exit code that a process is ended with.
const CODE: u32 = 0x55;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let code = started_once_more(suite);
    suite.check(code == Ok(0), format_args!("a start page behind a start that failed: {code:?}"));
    let answers = started_twice(suite);
    suite.check(
        answers == Ok([Err(Status::WrongState); 2]),
        format_args!("starting what runs, and what has ended: {answers:?}"),
    );
    for mapped in [false, true] {
        let answer = held_by_the_dead(suite, mapped);
        let expected = Ok((0, [Ok(()); 2]));
        suite.check(answer == expected, format_args!("what the dead held (mapped: {mapped}): {answer:?}"));
    }
    let came = begun_after_the_end(suite);
    suite.check(
        came == Ok((0, Status::TimedOut)),
        format_args!("a thread that had not begun when its process ended: {came:?}"),
    );
    let code = waits_behind_the_end(suite);
    suite.check(code == Ok(CODE), format_args!("a batch that waits when its process has ended: {code:?}"));
    if suite.cpus > 1 {
        let code = asleep_after_the_end(suite);
        suite.check(code == Ok(0), format_args!("a thread that is about to sleep: {code:?}"));
    }
}

/// The child: whether its start page tells what an earlier one said.
pub fn leftover(start: &Start) -> u32 {
    start.setting("leftover").is_some().into()
}

/// A start fails, for there is no such processor, when the page has been written; the next one has a shorter
/// page.
fn started_once_more(suite: &Suite<'_>) -> Result<u32, Status> {
    let child = Child::new(suite, "leftover")?;
    let page = format!("{:200}\nset leftover 1\n", "");
    let failed = process::start(child.handle, page.as_bytes(), 1000, 1);
    if failed != Err(Status::BadArgument) {
        return failed.map(|()| 1000);
    }
    Ok(child.start(0, 1)?.join(suite)?.code)
}

/// A process is started while it runs, and when it has ended. It is less urgent, so it has not ended yet.
fn started_twice(suite: &Suite<'_>) -> Result<[Result<(), Status>; 2], Status> {
    let child = Child::new(suite, "nothing")?.start(0, 1)?;
    let handle = child.handle;
    let again = || process::start(handle, b"set role nothing\n", 0, 1);
    let first = again();
    child.ended(suite)?;
    let second = again();
    child.forget()?;
    Ok([first, second])
}

/// The child: takes all VMs, by handles or by what it has mapped of them.
pub fn holder(start: &Start) -> u32 {
    let take = |system: Handle| -> Result<(), Status> {
        let vm = call(system, SystemCreateVm::default())?.handle;
        if child::number(start, "mapped") != 0 {
            let address = heap::reserve(4096).ok_or(Status::Exhausted)?;
            call(vm, VmAllocate { gpa: 0xd_0000, bytes: 4096, address, writable: 1 })?;
            process::close(vm)?;
        }
        Ok(())
    };
    let Some(system) = start.handle("system") else { return 1 };
    u32::from((0..VMS).any(|_| take(system).is_err()))
}

/// A process that had all VMs has ended, and is still named by a handle: its exit code, whether there are VMs
/// again, and whether who watches it now is told.
fn held_by_the_dead(suite: &Suite<'_>, mapped: bool) -> Result<(u32, [Result<(), Status>; 2]), Status> {
    let child = Child::new(suite, "holder")?.grant("system", suite.system, Rights::CREATE)?;
    let child = child.set("mapped", u32::from(mapped)).start(0, 1)?;
    let code = child.ended(suite)?.code;
    let vm = call(suite.system, SystemCreateVm::default()).and_then(|made| process::close(made.handle));
    let told = Event::try_new()?;
    call(child.handle, ProcessWatch { event: told.0, reserved: 0 })?;
    let watched = told.wait_until(0);
    process::close(told.0)?;
    child.forget()?;
    Ok((code, [vm, watched]))
}

/// The child: makes a less urgent thread, which would signal an event, and ends before that begins.
pub fn late_thread(start: &Start) -> u32 {
    let Some(after) = start.handle("after") else { return 1 };
    let begun = thread::spawn(0, 0, move || {
        let _ = Event(after).signal();
    });
    u32::from(begun.is_err())
}

/// Such a child's exit code, and whether its event was signalled.
fn begun_after_the_end(suite: &Suite<'_>) -> Result<(u32, Status), Status> {
    let after = Event::try_new()?;
    let child = Child::new(suite, "late-thread")?.grant("after", after.0, Rights::SIGNAL)?;
    let code = child.start(0, 1)?.join(suite)?.code;
    let came = after.wait_until(0).err().unwrap_or(Status::Ok);
    process::close(after.0)?;
    Ok((code, came))
}

/// The child: waits for an event, and in the same batch for one that nobody signals.
pub fn waits_twice(start: &Start) -> u32 {
    let (Some(first), Ok(never)) = (start.handle("first"), Event::try_new()) else { return 1 };
    let wait = |event| EventWait { deadline_tsc: u64::MAX }.on(event);
    loop {
        match syscall::batch(&mut [wait(first), wait(never.0)]) {
            // Who asks whether this thread waits is the event's waiter himself, for a moment.
            Err((Status::WrongState, 0)) => syscall::yield_now(),
            answer => return answer.map_or_else(|(_, index)| 2 + index as u32, |()| 2),
        }
    }
}

/// A less urgent child waits in a batch. It is woken, and its process is ended before it has run: it goes on
/// with the batch, where nothing looks at that but what is about to make it wait once more. Returns its exit
/// code; it would never have one.
fn waits_behind_the_end(suite: &Suite<'_>) -> Result<u32, Status> {
    let first = Event::try_new()?;
    let child = Child::new(suite, "waits-twice")?.grant("first", first.0, Rights::WAIT)?.start(0, 1)?;
    waiters::until_waited_for(first, suite.ticks_us)?;
    let end = ProcessEnd { code: CODE, reserved: 0 }.on(child.handle);
    syscall::batch(&mut [EventSignal::default().on(first.0), end]).map_err(|(status, _)| status)?;
    let code = child.join(suite)?.code;
    process::close(first.0)?;
    Ok(code)
}

/// The child: ends while a thread on another processor maps much memory, behind which it goes to sleep for
/// ever.
pub fn sleeper(start: &Start) -> u32 {
    let cpu = child::number(start, "cpu") as u32;
    let (Some(system), Some(memory)) = (start.handle("system"), start.handle("memory")) else { return 1 };
    let Ok(machine) = Machine::new(system, cpu, &[0xf4]) else { return 2 };
    let Some(map) = mapping_of_much(memory) else { return 3 };
    // SAFETY: run page and batch page are ours while the vCPU does not run.
    unsafe {
        machine.page.byte_add(BATCH_PAGE).cast::<Operation>().write_volatile(map);
        ((*machine.page).batch_count, (*machine.page).activity) = (1, activity::HALTED);
    }
    let (vcpu, begins) = (machine.vcpu, Arc::new(AtomicU32::new(0)));
    let says = begins.clone();
    let begun = thread::spawn(cpu, 1, move || {
        says.store(1, Ordering::SeqCst);
        let _ = syscall::run(vcpu);
    });
    while begun.is_ok() && begins.load(Ordering::SeqCst) == 0 {
        core::hint::spin_loop();
    }
    u32::from(begun.is_err()) * 4
}

/// Maps some guest memory at an address that makes all pages small ones.
fn mapping_of_much(memory: Handle) -> Option<Operation> {
    let range = |index| call(memory, MemoryRange { index, gpa: 0, bytes: 0 });
    let found = (0..).map_while(|index| range(index).ok()).find(|range| range.bytes >= MUCH)?;
    let address = heap::reserve(MUCH + (4 << 20))?.next_multiple_of(2 << 20);
    let gpa = found.gpa.next_multiple_of(2 << 20);
    let bytes = MUCH.min(found.gpa + found.bytes - gpa);
    Some(MemoryMap { address: address + 4096, gpa, bytes }.on(memory))
}

/// Such a child's exit code, several times over: the processors are not in step.
fn asleep_after_the_end(suite: &Suite<'_>) -> Result<u32, Status> {
    for _ in 0..4 {
        let child = Child::new(suite, "sleeper")?
            .grant("system", suite.system, Rights::READ | Rights::CREATE)?
            .grant("memory", suite.memory, Rights::READ | Rights::MAP)?
            .set("cpu", suite.cpus - 1);
        let code = child.start(0, 1)?.join(suite)?.code;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}
