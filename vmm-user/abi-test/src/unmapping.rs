//! Memory that a process takes out of itself: it is given back, nobody reaches it any more, on no processor,
//! and the kernel refuses it like any other address that is not the caller's.
#![allow(unsafe_code, reason = "memory and run pages at addresses of our choice")]

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use runtime::abi::exit::reason;
use runtime::abi::operation::{
    BATCH_MAX, Call, HANDLE_SELF, LogWrite, MemoryMap, Operation, PortRead, ProcessAllocate, ProcessUnmap,
    Rights,
};
use runtime::abi::status::Status;
use runtime::abi::syscall::{SYS_BATCH, exit_code};
use runtime::{Start, call, heap, syscall, thread};

use crate::child::{self, Child};
use crate::revocation::{LARGE, region};
use crate::suite::Suite;
use crate::vm::Machine;

const PAGE: u64 = 4096;
const PAGE_FAULT: u32 = exit_code::FAULT | 14;
/// How long the other processor may go on with what was taken.
const LIMIT_US: u64 = 5_000_000;
/// How often a page comes and goes under the kernel's hands.
const ROUNDS: u32 = 300;

/// Takes memory out of this process.
pub fn unmap(address: u64, bytes: u64) -> Result<(), Status> {
    call(HANDLE_SELF, ProcessUnmap { address, bytes }).map(drop)
}

fn allocate(address: u64, bytes: u64) -> Result<(), Status> {
    call(HANDLE_SELF, ProcessAllocate { address, bytes }).map(drop)
}

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    comes_back(suite);
    guest_memory(suite);
    run_page(suite);
    arguments(suite);
    touched(suite);
    race(suite);
}

/// Memory is free again, what is mapped there next is zeroed, and in between it is nobody's.
fn comes_back(suite: &mut Suite<'_>) {
    let bytes = LARGE + LARGE / 2;
    let address = heap::reserve(bytes).unwrap_or(0);
    let before = suite.free_bytes();
    for round in 0..2 {
        suite.expect(allocate(address, bytes), Status::Ok, format_args!("memory, round {round}"));
        // SAFETY: just allocated.
        let was = unsafe { ((address + LARGE) as *mut u64).replace(0x1234) };
        suite.check(was == 0, format_args!("new memory, round {round}: {was:#x}"));
        let part = unmap(address + PAGE, LARGE);
        suite.expect(part, Status::Ok, format_args!("a part of it"));
        let refused = refusals(suite, address + PAGE);
        suite.check(refused, format_args!("calls with a pointer to it"));
        suite.expect(allocate(address, PAGE), Status::Overlap, format_args!("what was not taken out"));
        suite.expect(allocate(address + LARGE, PAGE), Status::Ok, format_args!("what was"));
        suite.expect(unmap(address, bytes), Status::Ok, format_args!("all of it, with holes"));
        suite.expect(unmap(address, bytes), Status::Ok, format_args!("what is not there"));
        let after = suite.free_bytes();
        suite.check(after == before, format_args!("free: {after:#x}, before {before:#x}"));
    }
}

/// The kernel neither reads nor writes there.
fn refusals(suite: &Suite<'_>, address: u64) -> bool {
    let log = suite.start.handle("log").unwrap_or(0);
    let line = call(log, LogWrite { address, bytes: 8, level: 3, reserved: 0 });
    // SAFETY: nothing is there: the kernel refuses it.
    let (status, _) = unsafe { syscall::raw(SYS_BATCH, address, 1) };
    line.err() == Some(Status::BadPointer) && Status::from_code(status as i32) == Some(Status::BadPointer)
}

/// Mapped guest memory goes, in parts of large pages too, and what was written there stays.
fn guest_memory(suite: &mut Suite<'_>) {
    let run = |suite: &Suite<'_>| -> Result<[u64; 3], Status> {
        let gpa = region(suite.memory, 2 * LARGE)?;
        let space = heap::reserve(3 * LARGE).ok_or(Status::Exhausted)?;
        let address = space.next_multiple_of(LARGE);
        let before = suite.free_bytes();
        let map = |offset: u64, bytes| {
            call(suite.memory, MemoryMap { address: address + offset, gpa: gpa + offset, bytes }).map(drop)
        };
        let word = |offset: u64| (address + offset) as *mut u64;
        map(0, 2 * LARGE)?;
        // SAFETY: mapped, also in what follows.
        unsafe {
            word(PAGE).write_volatile(1);
            word(2 * PAGE).write_volatile(2);
        }
        unmap(address + 2 * PAGE, LARGE)?;
        // SAFETY: as above.
        let kept = unsafe { word(PAGE).read_volatile() };
        map(2 * PAGE, LARGE)?;
        // SAFETY: as above.
        let again = unsafe { word(2 * PAGE).read_volatile() };
        unmap(address, 2 * LARGE)?;
        Ok([kept, again, suite.free_bytes().abs_diff(before)])
    };
    let seen = run(suite);
    suite.check(seen == Ok([1, 2, 0]), format_args!("guest memory, mapped and not: {seen:x?}"));
}

/// A vCPU runs although its creator has its run page no more.
fn run_page(suite: &mut Suite<'_>) {
    let run = |suite: &Suite<'_>| -> Result<u32, Status> {
        // jmp to itself
        let machine = Machine::new(suite.system, 0, &[0xeb, 0xfe])?;
        let first = machine.run(suite.in_us(1000))?;
        unmap(machine.page as u64, PAGE)?;
        syscall::run(machine.vcpu).map_err(|(status, _)| status)?;
        Ok(first)
    };
    let seen = run(suite);
    suite.check(seen == Ok(reason::DEADLINE), format_args!("a run without the run page: {seen:?}"));
}

fn arguments(suite: &mut Suite<'_>) {
    for (address, bytes, status) in [
        (0x1_0000, PAGE, Status::Ok),
        (0x1_0001, PAGE, Status::BadArgument),
        (0x1_0000, PAGE - 1, Status::BadArgument),
        (0x1_0000, 0, Status::BadArgument),
        (0xf000, PAGE, Status::BadArgument),
        (0, PAGE, Status::BadArgument),
        (0x7fff_ffff_e000, PAGE, Status::Ok),
        (0x7fff_ffff_e000, 2 * PAGE, Status::BadArgument),
        (0x7fff_ffff_f000, PAGE, Status::BadArgument),
        (0xffff_8000_0000_0000, PAGE, Status::BadArgument),
        (0x1_0000, !(PAGE - 1), Status::BadArgument),
        (0x5000_0000_0000, 1 << 45, Status::Ok),
    ] {
        suite.expect(unmap(address, bytes), status, format_args!("taking out {bytes:#x} at {address:#x}"));
    }
    let child = Child::new(suite, "nothing");
    let answer = child.and_then(|child| {
        let answer = call(child.handle, ProcessUnmap { address: 0x40_0000, bytes: PAGE });
        child.forget()?;
        answer
    });
    suite.expect(answer, Status::BadHandle, format_args!("taking memory out of another process"));
}

/// A child that touches what it has taken out ends there, on this processor and on another.
fn touched(suite: &mut Suite<'_>) {
    for cpu in [0, suite.cpus - 1] {
        let run = || {
            let child = Child::new(suite, "touch-unmapped")?.set("cpu", cpu).set("ticks", suite.ticks_us);
            child.start(0, 2)?.join(suite)
        };
        let state = run();
        let ended = state.is_ok_and(|state| state.code == PAGE_FAULT && state.address % PAGE == 8);
        suite.check(ended, format_args!("memory that is gone is touched on cpu{cpu}: {state:x?}"));
    }
}

/// The child: a thread writes a page again and again, until it is taken out. Ends by a page fault, or with 0.
pub fn touch_unmapped(start: &Start) -> u32 {
    let (cpu, ticks) = (child::number(start, "cpu") as u32, child::number(start, "ticks") * LIMIT_US);
    let Some(page) = heap::pages(PAGE) else { return 1 };
    let written = Arc::new(AtomicU32::new(0));
    let theirs = written.clone();
    let begun = thread::spawn(cpu, 2, move || {
        loop {
            // SAFETY: the page is this process's, until it ends by a fault here.
            unsafe { ((page + 8) as *mut u64).write_volatile(1) };
            theirs.fetch_add(1, Ordering::Relaxed);
        }
    });
    while written.load(Ordering::Relaxed) == 0 {
        syscall::yield_now();
    }
    if begun.is_err() || unmap(page, PAGE).is_err() {
        return 2;
    }
    let end = syscall::tsc() + ticks;
    while syscall::tsc() < end {
        syscall::yield_now();
    }
    0
}

/// Pages that come and go while the kernel executes what lies there for another thread.
fn race(suite: &mut Suite<'_>) {
    let ports = suite.start.handle("serial-ports").unwrap_or(0);
    let run = || {
        let child = Child::new(suite, "unmap-race")?.grant("ports", ports, Rights::READ)?;
        child.set("cpu", suite.cpus - 1).start(0, 2)?.join(suite)
    };
    let code = run().map(|state| state.code);
    suite.check(code == Ok(0), format_args!("a page that goes under a batch's operations: {code:x?}"));
}

/// The child: a thread has the kernel execute batches that lie in a page, which another takes out and puts
/// back. Ends with 0 when each was answered by a status that fits.
pub fn unmap_race(start: &Start) -> u32 {
    let (Some(ports), cpu) = (start.handle("ports"), child::number(start, "cpu") as u32) else { return 1 };
    let Some(page) = heap::pages(PAGE) else { return 2 };
    let (state, theirs) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (stop, bad) = (state.clone(), theirs.clone());
    let begun = thread::spawn(cpu, 2, move || {
        while stop.load(Ordering::SeqCst) == 0 {
            // SAFETY: what the kernel writes are operations, in a page that is used for nothing else.
            let (status, _) = unsafe { syscall::raw(SYS_BATCH, page, BATCH_MAX as u64) };
            match Status::from_code(status as i32) {
                Some(Status::Ok | Status::BadPointer) => {}
                // Zeroes are no operation, and what is half written may be anything.
                Some(Status::BadOperation | Status::BadHandle | Status::BadArgument) => {}
                _ => bad.store(1, Ordering::SeqCst),
            }
            syscall::yield_now();
        }
        stop.store(2, Ordering::SeqCst);
    });
    if begun.is_err() {
        return 3;
    }
    let read = PortRead { offset: 7, width: 1, value: 0, reserved: 0 }.on(ports);
    for _ in 0..ROUNDS {
        for index in 0..BATCH_MAX {
            // SAFETY: the page is mapped; what the other thread and the kernel see of it is theirs to judge.
            unsafe { (page as *mut Operation).add(index).write_volatile(read) };
        }
        if cpu == 0 {
            syscall::yield_now();
        }
        if unmap(page, PAGE).is_err() || allocate(page, PAGE).is_err() {
            return 4;
        }
    }
    state.store(1, Ordering::SeqCst);
    while state.load(Ordering::SeqCst) != 2 {
        syscall::yield_now();
    }
    theirs.load(Ordering::SeqCst)
}
