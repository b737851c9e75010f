//! What a process may see of the others: the log, and the list of processes.
#![allow(unsafe_code, reason = "calls with addresses that are not ours")]

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use runtime::abi::operation::{
    HANDLE_SELF, Handle, LogRead, LogWrite, ProcessAllocate, Rights, SystemProcess,
};
use runtime::abi::process_record::ProcessRecord;
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::{Start, call, heap, process, syscall};

use crate::arguments::BAD;
use crate::child::Child;
use crate::suite::Suite;

/// The most that one call reads of the log.
const READ_MAX: u64 = 4096;
/// What the log holds.
const RING_BYTES: u64 = 64 * 1024;
/// What the child writes, each in a line with its number.
const LINES: usize = 100;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let Some(log) = suite.start.handle("log") else {
        return suite.check(false, format_args!("a handle to the log"));
    };
    log_arguments(suite, log);
    log_contents(suite, log);
    log_of_another(suite, log);
    log_overrun(suite, log);
    process_arguments(suite);
    process_list(suite);
    match child_seen(suite) {
        Ok(()) => {}
        Err(status) => suite.check(false, format_args!("a child to look at: {status:?}")),
    }
    own_record(suite);
}

fn read_at(log: Handle, from: u64, address: u64, bytes: u64) -> Result<LogRead, Status> {
    call(log, LogRead { from, address, bytes, lost: 0, end: 0 })
}

/// Reads a part as text.
fn read(log: Handle, from: u64, room: usize) -> Result<(LogRead, String), Status> {
    let mut bytes = vec![0; room];
    let part = read_at(log, from, bytes.as_mut_ptr() as u64, room as u64)?;
    bytes.truncate(part.bytes as usize);
    Ok((part, String::from_utf8_lossy(&bytes).into_owned()))
}

fn end_of(log: Handle) -> u64 {
    read_at(log, u64::MAX, 0, 0).map_or(0, |part| part.end)
}

fn write(log: Handle, text: &str) -> Result<(), Status> {
    let (address, bytes) = (text.as_ptr() as u64, text.len() as u64);
    call(log, LogWrite { address, bytes, level: 4, reserved: 0 }).map(|_| ())
}

fn log_arguments(suite: &mut Suite<'_>, log: Handle) {
    for address in BAD {
        let answer = read_at(log, 0, address, 64);
        suite.expect(answer, Status::BadPointer, format_args!("reading the log to {address:#x}"));
        // Where nothing is written, no memory is needed.
        let answer = read_at(log, 0, address, 0).map(|part| part.bytes);
        suite.check(answer == Ok(0), format_args!("nothing of the log to {address:#x}: {answer:?}"));
    }
    let text = log_arguments as *const () as u64;
    suite.expect(read_at(log, 0, text, 64), Status::BadPointer, format_args!("the log over the program"));
    // The page behind this one stays unmapped.
    let page = heap::pages(4096).zip(heap::reserve(4096)).map_or(0, |(page, _)| page);
    let over = read_at(log, 0, page + 2048, READ_MAX);
    suite.expect(over, Status::BadPointer, format_args!("the log over a page's end"));
    let whole = read_at(log, 0, page, u64::MAX).map(|part| part.bytes);
    suite.check(whole.is_ok_and(|bytes| bytes <= READ_MAX), format_args!("all of the log: {whole:?}"));
    let end = end_of(log);
    for from in [end, end + 1, 1 << 63, u64::MAX] {
        let answer = read_at(log, from, page, 64);
        let none = answer.is_ok_and(|part| part.bytes == 0 && part.from == part.end && part.lost == 0);
        suite.check(none, format_args!("the log from {from:#x} on: {answer:?}"));
    }
}

fn log_contents(suite: &mut Suite<'_>, log: Handle) {
    let end = end_of(log);
    let written = write(log, "observe: a line that is looked for");
    suite.expect(written, Status::Ok, format_args!("a line in the log"));
    let answer = read(log, end, 1024);
    let holds = answer.as_ref().is_ok_and(|(part, text)| {
        let found = text.contains("abi-test: observe: a line that is looked for\n");
        found && part.from == end && part.lost == 0 && part.end >= end + part.bytes
    });
    suite.check(holds, format_args!("a line that was written is read: {answer:?}"));
    // Byte for byte: two parts are the whole.
    let (one, two) = (read(log, end, 20), read(log, end + 20, 20));
    let parts = one.and_then(|(_, one)| Ok(one + &two?.1));
    let whole = read(log, end, 40).map(|(_, text)| text);
    suite.check(parts.is_ok() && parts == whole, format_args!("two parts, {parts:?}, are {whole:?}"));
}

/// Writes lines and ends.
pub fn log_lines(start: &Start) -> u32 {
    let Some(log) = start.handle("log") else { return 1 };
    let wrote = |line: usize| write(log, &format!("observe: line {line} of the child"));
    if (0..LINES).all(|line| wrote(line).is_ok()) { 0 } else { 2 }
}

/// While another process writes, on another processor if there is one, each line is read once, whole.
fn log_of_another(suite: &mut Suite<'_>, log: Handle) {
    let mut at = end_of(log);
    let child = Child::new(suite, "log-lines")
        .and_then(|child| child.grant("log", log, Rights::WRITE))
        .and_then(|child| child.start(suite.cpus - 1, 2));
    let child = match child {
        Ok(child) => child,
        Err(status) => return suite.check(false, format_args!("a child that writes: {status:?}")),
    };
    let (mut text, deadline, mut lost) = (String::new(), suite.in_us(60_000_000), 0);
    let last = format!("line {} of the child\n", LINES - 1);
    while !text.contains(&last) && syscall::tsc() < deadline {
        if let Ok((part, more)) = read(log, at, 700) {
            text += &more;
            lost += part.lost;
            at = part.from + part.bytes;
        }
        syscall::yield_now();
    }
    let lines: Vec<&str> =
        text.lines().filter_map(|line| Some(line.split_once("observe: line ")?.1)).collect();
    let all = lines.iter().enumerate().all(|(n, line)| *line == format!("{n} of the child"));
    suite.check(all && lines.len() == LINES, format_args!("lines of another: {} of {LINES}", lines.len()));
    suite.check(lost == 0, format_args!("{lost} bytes of the log were lost"));
    let code = child.join(suite).map(|state| state.code);
    suite.check(code == Ok(0), format_args!("the child that writes: {code:?}"));
}

/// What is overwritten is said to be lost.
fn log_overrun(suite: &mut Suite<'_>, log: Handle) {
    let start = end_of(log);
    let line = "observe: what makes the log run over ".repeat(6);
    while end_of(log) < start + RING_BYTES + 1000 {
        if let Err(status) = write(log, &line) {
            return suite.check(false, format_args!("much in the log: {status:?}"));
        }
    }
    let answer = read(log, start, 64).map(|(part, _)| part);
    let holds = answer.is_ok_and(|part| {
        part.lost >= 1000 && part.from == start + part.lost && part.end - part.from == RING_BYTES
    });
    suite.check(holds, format_args!("a log that ran over: {answer:?}"));
    suite.check(answer.is_ok_and(|part| part.bytes == 64), format_args!("its oldest bytes: {answer:?}"));
}

/// The process with this serial number, or the next one.
fn record(system: Handle, serial: u64) -> Result<ProcessRecord, Status> {
    let mut record = ProcessRecord::default();
    let found = call(system, SystemProcess { serial, address: (&raw mut record) as u64 })?;
    // The kernel has told it twice.
    if found.serial == record.serial { Ok(record) } else { Err(Status::HostFault) }
}

fn process_arguments(suite: &mut Suite<'_>) {
    for address in BAD {
        let answer = call(suite.system, SystemProcess { serial: 0, address });
        suite.expect(answer, Status::BadPointer, format_args!("a process's record at {address:#x}"));
    }
    let page = heap::pages(4096).zip(heap::reserve(4096)).map_or(0, |(page, _)| page);
    for (address, status) in [(page + 4096 - 64, Status::Ok), (page + 4096 - 63, Status::BadPointer)] {
        let answer = call(suite.system, SystemProcess { serial: 0, address });
        suite.expect(answer, status, format_args!("a process's record at a page's end"));
    }
    for serial in [1 << 40, u64::MAX] {
        let answer = record(suite.system, serial);
        suite.expect(answer, Status::NotFound, format_args!("process {serial:#x}"));
    }
}

fn all_processes(system: Handle) -> Vec<ProcessRecord> {
    let (mut all, mut serial) = (Vec::new(), 0);
    while let Ok(found) = record(system, serial) {
        all.push(found);
        serial = found.serial + 1;
    }
    all
}

fn is_named(record: &ProcessRecord, name: &str) -> bool {
    record.name.iter().copied().eq(name.bytes().chain(core::iter::repeat(0)).take(record.name.len()))
}

fn process_list(suite: &mut Suite<'_>) {
    let all = all_processes(suite.system);
    let ascending = all.windows(2).all(|two| matches!(two, [a, b] if a.serial < b.serial));
    suite.check(ascending, format_args!("processes by their numbers: {all:?}"));
    let init = all.first();
    let holds = init.is_some_and(|p| is_named(p, "init") && (p.state, p.threads, p.priority) == (1, 1, 3));
    suite.check(holds, format_args!("the first process: {init:?}"));
    // The suite, and this part of it.
    let ours = all.iter().filter(|p| is_named(p, "abi-test") && p.state == 1 && p.threads > 0).count();
    suite.check(ours == 2, format_args!("processes of this program: {all:?}"));
    let sane = all.iter().all(|p| p.handles < 96 && p.memory_bytes.is_multiple_of(4096) && p.reserved == 0);
    suite.check(sane, format_args!("what processes have: {all:?}"));
}

/// The newest process there is.
fn newest(suite: &Suite<'_>) -> Result<ProcessRecord, Status> {
    all_processes(suite.system).last().copied().ok_or(Status::NotFound)
}

/// A child from its making to its end.
fn child_seen(suite: &mut Suite<'_>) -> Result<(), Status> {
    let file = process::open(suite.files, "abi-test")?;
    let child = process::create(file)?;
    let new = newest(suite)?;
    let holds = (new.state, new.code, new.threads, new.handles, new.run_tsc) == (0, 0, 0, 0, 0);
    suite.check(holds && is_named(&new, "abi-test"), format_args!("a new process: {new:?}"));
    // Its stack and its start page, and something of the program.
    suite.check(new.memory_bytes > 17 * 4096, format_args!("a new process's memory: {new:?}"));
    process::grant(child, file, Rights::READ)?;
    process::grant(child, file, Rights::READ)?;
    let given = record(suite.system, new.serial)?;
    suite.check(given == ProcessRecord { handles: 2, ..new }, format_args!("with two handles: {given:?}"));
    let event = Event::try_new()?;
    call(child, runtime::abi::operation::ProcessWatch { event: event.0, reserved: 0 })?;
    process::start(child, b"set role nothing at all\n", 0, 1)?;
    let begun = record(suite.system, new.serial)?;
    let holds = begun.serial == new.serial && begun.priority == 1;
    suite.check(holds, format_args!("a process that was started: {begun:?}"));
    event.wait()?;
    let ended = record(suite.system, new.serial)?;
    let state = (ended.serial, ended.state, ended.code, ended.threads, ended.handles);
    suite.check(state == (new.serial, 2, 99, 0, 0), format_args!("a process that ended: {ended:?}"));
    let again = record(suite.system, new.serial)?;
    suite.check(ended.run_tsc > 0 && again == ended, format_args!("what it ran: {ended:?}, {again:?}"));
    process::close(child)?;
    let gone = record(suite.system, new.serial);
    suite.check(gone.is_err(), format_args!("a process that is gone: {gone:?}"));
    process::close(event.0)?;
    process::close(file)
}

/// What this process has and does shows in its own record.
fn own_record(suite: &mut Suite<'_>) {
    let Ok(own) = newest(suite) else { return suite.check(false, format_args!("this process")) };
    let since = syscall::tsc();
    let before = record(suite.system, own.serial);
    let address = heap::reserve(3 * 4096).unwrap_or(0);
    let more = call(HANDLE_SELF, ProcessAllocate { address, bytes: 3 * 4096 });
    suite.expect(more, Status::Ok, format_args!("three pages"));
    let refused = call(HANDLE_SELF, ProcessAllocate { address, bytes: 4096 });
    suite.expect(refused, Status::Overlap, format_args!("one of them again"));
    let event = Event::try_new();
    let (after, until) = (record(suite.system, own.serial), syscall::tsc());
    let (Ok(before), Ok(after)) = (before, after) else {
        return suite.check(false, format_args!("this process's record: {before:?}, {after:?}"));
    };
    let grown = (after.memory_bytes - before.memory_bytes, after.handles - before.handles);
    suite.check(grown == (3 * 4096, 1), format_args!("three pages and an event are {grown:?}"));
    let ran = after.run_tsc.wrapping_sub(before.run_tsc);
    suite.check(
        ran > 0 && ran <= until - since,
        format_args!("a thread of one processor ran {ran} of {} ticks", until - since),
    );
    if let Ok(event) = event {
        suite.expect(process::close(event.0), Status::Ok, format_args!("closing the event"));
    }
}
