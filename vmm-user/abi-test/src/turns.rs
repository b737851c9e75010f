//! Between two operations of a batch the kernel takes interrupts, lets other threads run, and stops for a
//! process that ends; and a batch page is executed for the process that made its vCPU alone.
#![allow(unsafe_code, reason = "operations that another thread looks at, and a batch page")]

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use runtime::abi::exit::reason;
use runtime::abi::operation::{
    BATCH_MAX, Call, EventSignal, FileRead, Handle, InterruptBind, Operation, PortWrite, Rights,
};
use runtime::abi::status::Status;
use runtime::abi::syscall::SYS_BATCH;
use runtime::event::Event;
use runtime::{Start, call, heap, process, syscall, thread};

use crate::child::Child;
use crate::suite::Suite;
use crate::vm::Machine;
use crate::waiters;

/// What the kernel leaves in the status of an operation that it did not get to.
const UNTOUCHED: i32 = 0x5555;
/// Behind the run page.
const BATCH_PAGE: usize = 4096;
/// The exit code of a process that ends in the middle of its batch.
const MIDDLE: u32 = 7;
/// HLT.
const HALT: &[u8] = &[0xf4];

/// Where a batch lies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Memory,
    Page,
}

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    for place in [Place::Memory, Place::Page] {
        let seen = turn_after_signal(suite, place);
        suite.check(
            seen == Ok([0, UNTOUCHED]),
            format_args!("an equal thread, woken by the first operation ({place:?}), sees {seen:?}"),
        );
        let answer = ends_in_the_middle(suite, place);
        suite.check(
            answer == Ok((MIDDLE, Status::TimedOut)),
            format_args!("a process that ends in its batch ({place:?}): {answer:?}"),
        );
    }
    let seen = interrupted(suite);
    suite.check(seen == Ok(true), format_args!("the timer in the middle of a long batch: {seen:?}"));
    let seen = interrupted_row(suite);
    suite.check(
        seen == Ok([0, UNTOUCHED]),
        format_args!("accesses to ports that cause an interrupt, seen by who waits for it: {seen:?}"),
    );
    let answer = somebody_elses_page(suite);
    let expected = Ok([(Status::NoRight as u32, Status::TimedOut), (0, Status::TimedOut)]);
    suite.check(answer == expected, format_args!("a batch page of another process's vCPU: {answer:?}"));
}

/// Puts operations where they are to lie, and gives them to the kernel.
fn submit(machine: &Machine, place: Place, operations: &mut [Operation]) -> Result<(), Status> {
    if place == Place::Memory {
        return syscall::batch(operations).map_err(|(status, _)| status);
    }
    // SAFETY: run page and batch page are ours while the vCPU does not run.
    unsafe {
        let page = machine.page.byte_add(BATCH_PAGE).cast::<Operation>();
        operations
            .iter()
            .enumerate()
            .for_each(|(index, operation)| page.add(index).write_volatile(*operation));
        (*machine.page).batch_count = operations.len() as u32;
    }
    machine.run(u64::MAX).map(|_| ())
}

fn signal(event: Event) -> Operation {
    Operation { status: UNTOUCHED, ..EventSignal::default().on(event.0) }
}

/// The first of two operations wakes a thread of this one's priority, which looks at their statuses.
fn turn_after_signal(suite: &Suite<'_>, place: Place) -> Result<[i32; 2], Status> {
    let machine = Machine::new(suite.system, 0, HALT)?;
    let (first, second) = (Event::try_new()?, Event::try_new()?);
    let mut operations = vec![signal(first), signal(second)];
    let at = match place {
        Place::Memory => operations.as_mut_ptr() as u64,
        Place::Page => machine.page as u64 + BATCH_PAGE as u64,
    };
    let (looked, statuses) = (Arc::new(AtomicU32::new(0)), Arc::new([const { AtomicU32::new(1) }; 2]));
    let (says, theirs) = (looked.clone(), statuses.clone());
    thread::spawn(0, 2, move || {
        let _ = waiters::wait_until(first, u64::MAX);
        for (index, status) in theirs.iter().enumerate() {
            // SAFETY: both operations stay where they are until this thread has said that it looked.
            let operation = unsafe { (at as *const Operation).add(index).read_volatile() };
            status.store(operation.status as u32, Ordering::SeqCst);
        }
        says.store(1, Ordering::SeqCst);
    })?;
    waiters::until_waited_for(first, suite.ticks_us)?;
    submit(&machine, place, &mut operations)?;
    wait_for(suite, &looked, 1)?;
    for handle in [first.0, second.0, machine.vcpu, machine.vm] {
        process::close(handle)?;
    }
    Ok([0, 1].map(|index: usize| statuses[index].load(Ordering::SeqCst) as i32))
}

/// Sleeps until a number is reached.
fn wait_for(suite: &Suite<'_>, number: &AtomicU32, value: u32) -> Result<(), Status> {
    let (pause, limit) = (Event::try_new()?, suite.in_us(20_000_000));
    while number.load(Ordering::SeqCst) < value {
        let _ = pause.wait_until(suite.in_us(1000));
        if syscall::tsc() > limit {
            return Err(Status::TimedOut);
        }
    }
    process::close(pause.0)
}

/// A thread whose deadline comes while this one has a long batch executed: whether it ever found that batch
/// half done.
fn interrupted(suite: &Suite<'_>) -> Result<bool, Status> {
    let file = process::open(suite.files, "abi-test")?;
    let mut buffer = vec![0u8; 256 * 1024];
    let read =
        FileRead { offset: 0, address: buffer.as_mut_ptr() as u64, bytes: buffer.len() as u64 }.on(file);
    let mut operations: Vec<_> = vec![read; BATCH_MAX];
    let at = operations.as_mut_ptr() as u64;
    let half = Arc::new(AtomicU32::new(0));
    let theirs = half.clone();
    let (pause, ticks) = (Event::try_new()?, suite.ticks_us);
    thread::spawn(0, 2, move || {
        while theirs.load(Ordering::SeqCst) == 0 {
            let _ = pause.wait_until(syscall::tsc() + 200 * ticks);
            // SAFETY: the operations stay until this thread has ended.
            let status = |index| unsafe { (at as *const Operation).add(index).read_volatile() }.status;
            let is_half = status(0) == 0 && status(BATCH_MAX - 1) == UNTOUCHED;
            theirs.fetch_or(u32::from(is_half), Ordering::SeqCst);
        }
        theirs.store(3, Ordering::SeqCst);
    })?;
    let mut seen = false;
    for _ in 0..20 {
        operations.iter_mut().for_each(|operation| operation.status = UNTOUCHED);
        syscall::batch(&mut operations).map_err(|(status, _)| status)?;
        seen |= half.load(Ordering::SeqCst) != 0;
        if seen {
            break;
        }
    }
    half.fetch_or(1, Ordering::SeqCst);
    wait_for(suite, &half, 3)?;
    process::close(pause.0)?;
    process::close(file)?;
    Ok(seen)
}

/// A row of accesses to ports, all in one page, of which the first ones have the serial port interrupt: an
/// equal thread that waits for the interrupt runs long before the row's end. It looks at the first status
/// and at the last.
fn interrupted_row(suite: &Suite<'_>) -> Result<[i32; 2], Status> {
    let find = |name| suite.start.handle(name).ok_or(Status::NotFound);
    let (ports, line) = (find("serial-ports")?, find("serial-interrupt")?);
    let (event, page) = (Event::try_new()?, heap::pages(4096).ok_or(Status::Exhausted)?);
    call(line, InterruptBind { event: event.0, reserved: 0 })?;
    let (looked, statuses) = (Arc::new(AtomicU32::new(0)), Arc::new([const { AtomicU32::new(1) }; 2]));
    let (says, theirs) = (looked.clone(), statuses.clone());
    thread::spawn(0, 2, move || {
        let _ = waiters::wait_until(event, u64::MAX);
        for (index, status) in [0, BATCH_MAX - 1].into_iter().zip(theirs.iter()) {
            // SAFETY: the page stays until this thread has said that it looked, and longer.
            let operation = unsafe { (page as *const Operation).add(index).read_volatile() };
            status.store(operation.status as u32, Ordering::SeqCst);
        }
        says.store(1, Ordering::SeqCst);
    })?;
    waiters::until_waited_for(event, suite.ticks_us)?;
    let write = |offset, value| {
        let write = PortWrite { offset, width: 1, value, reserved: 0 }.on(ports);
        Operation { status: UNTOUCHED, ..write }
    };
    for index in 0..BATCH_MAX {
        // No interrupts; one whenever there is nothing left to send, which is so; and the scratch register.
        let operation = match index {
            0 => write(1, 0),
            1 => write(1, 2),
            _ => write(7, index as u32),
        };
        // SAFETY: the page was just allocated, and has room for as many.
        unsafe { (page as *mut Operation).add(index).write_volatile(operation) };
    }
    // SAFETY: the kernel writes within the page.
    let (status, _) = unsafe { syscall::raw(SYS_BATCH, page, BATCH_MAX as u64) };
    wait_for(suite, &looked, 1)?;
    syscall::batch(&mut [write(1, 0)]).map_err(|(status, _)| status)?;
    process::close(event.0)?;
    if status != 0 {
        return Err(Status::WrongState);
    }
    Ok([0, 1].map(|index: usize| statuses[index].load(Ordering::SeqCst) as i32))
}

/// The child: the first of two operations wakes a thread that ends the process.
pub fn end_in_batch(start: &Start) -> u32 {
    let (Some(system), Some(after)) = (start.handle("system"), start.handle("after")) else { return 1 };
    let place = if start.setting("place") == Some("page") { Place::Page } else { Place::Memory };
    let (Ok(machine), Ok(event)) = (Machine::new(system, 0, HALT), Event::try_new()) else { return 2 };
    let spawned = thread::spawn(0, 1, move || {
        let _ = waiters::wait_until(event, u64::MAX);
        syscall::exit(MIDDLE);
    });
    if waiters::until_waited_for(event, crate::child::number(start, "ticks")).is_err() {
        return 3;
    }
    let answer = submit(&machine, place, &mut [signal(event), signal(Event(after))]);
    if spawned.is_err() || answer.is_err() { 4 } else { 5 }
}

/// Returns such a child's exit code, and whether its second operation was executed.
fn ends_in_the_middle(suite: &Suite<'_>, place: Place) -> Result<(u32, Status), Status> {
    let after = Event::try_new()?;
    let child = Child::new(suite, "end-in-batch")?
        .grant("system", suite.system, Rights::READ | Rights::CREATE)?
        .grant("after", after.0, Rights::SIGNAL)?
        .set("ticks", suite.ticks_us)
        .set("place", if place == Place::Page { "page" } else { "memory" });
    let code = child.start(0, 1)?.join(suite)?.code;
    let came = after.wait_until(0).err().unwrap_or(Status::Ok);
    process::close(after.0)?;
    Ok((code, came))
}

/// The child: runs a vCPU that it was given, and ends with the status.
pub fn run_given(start: &Start) -> u32 {
    let Some(vcpu) = start.handle("vcpu") else { return 1 };
    syscall::run(vcpu).map_or_else(|(status, _)| status as u32, |_| 0)
}

/// A child runs a vCPU of ours, whose batch page names an event by the child's own handle; then once more
/// without a batch. Returns the child's status, and whether the event was signalled.
fn somebody_elses_page(suite: &Suite<'_>) -> Result<[(u32, Status); 2], Status> {
    let machine = Machine::new(suite.system, 0, HALT)?;
    let secret = Event::try_new()?;
    let run = |with_batch: bool| -> Result<(u32, Status), Status> {
        let child = Child::new(suite, "run-given")?.grant("vcpu", machine.vcpu, Rights::RUN)?.grant(
            "secret",
            secret.0,
            Rights::SIGNAL,
        )?;
        // Handles are given in order: 2 and 3.
        let named: Handle = 3;
        // SAFETY: run page and batch page are ours while the vCPU does not run.
        unsafe {
            let operation = Operation { status: UNTOUCHED, ..EventSignal::default().on(named) };
            machine.page.byte_add(BATCH_PAGE).cast::<Operation>().write_volatile(operation);
            (*machine.page).batch_count = u32::from(with_batch);
        }
        let code = child.start(0, 1)?.join(suite)?.code & 0x7fff_ffff;
        let code = if code == Status::NoRight as u32 & 0x7fff_ffff { Status::NoRight as u32 } else { code };
        Ok((code, secret.wait_until(0).err().unwrap_or(Status::Ok)))
    };
    let answers = [run(true)?, run(false)?];
    // SAFETY: as above.
    let halted = unsafe { (*machine.page).exit.reason } == reason::HALT;
    for handle in [secret.0, machine.vcpu, machine.vm] {
        process::close(handle)?;
    }
    if halted { Ok(answers) } else { Err(Status::WrongState) }
}
