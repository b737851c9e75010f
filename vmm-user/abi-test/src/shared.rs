//! Shared memory: what may be made and mapped, that processes see the same, and that it is free again when
//! the last handle and the last mapping have gone, and not before.
#![allow(unsafe_code, reason = "memory at addresses of our choice")]

use core::sync::atomic::Ordering;

use runtime::abi::message::Message;
use runtime::abi::operation::{
    HANDLE_SELF, Handle, LogRead, Permissions, ProcessUnmap, Rights, SharedCreate, SharedMap,
};
use runtime::abi::status::Status;
use runtime::abi::syscall::exit_code;
use runtime::channel::{Channel, Endpoint};
use runtime::shared::SharedMemory;
use runtime::{Start, call, heap, process};

use crate::child::Child;
use crate::suite::Suite;

const PAGE: u64 = 4096;
const PAGE_FAULT: u32 = exit_code::FAULT | 14;
const READ: u32 = Permissions::READ.bits();
const BOTH: u32 = READ | Permissions::WRITE.bits();
/// What the two processes write for each other.
const HERE: u64 = 0x1111_2222_3333_4444;
const THERE: u64 = 0x5555_6666_7777_8888;

fn map(shared: Handle, address: u64, offset: u64, bytes: u64, permissions: u32) -> Result<(), Status> {
    call(shared, SharedMap { address, offset, bytes, permissions, reserved: 0 }).map(drop)
}

fn unmap(address: u64, bytes: u64) -> Result<(), Status> {
    call(HANDLE_SELF, ProcessUnmap { address, bytes }).map(drop)
}

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    sizes(suite);
    arguments(suite);
    let lives = lives(suite);
    suite.check(lives == Ok([0; 5]), format_args!("frames of shared memory that are missing: {lives:?}"));
    for how in ["write", "execute"] {
        let run = || touched(suite, how);
        let seen = run();
        suite.check(seen == Ok(PAGE_FAULT), format_args!("{how} on a mapping to be read: {seen:x?}"));
    }
    let seen = processes(suite);
    suite.check(seen == Ok((HERE, 0)), format_args!("memory from another process: {seen:x?}"));
    let refused = kernel_writes(suite);
    suite.check(refused == Err(Status::BadPointer), format_args!("the kernel writes to it: {refused:?}"));
}

fn sizes(suite: &mut Suite<'_>) {
    for (bytes, status) in [
        (0, Status::BadArgument),
        (1, Status::BadArgument),
        (PAGE + 8, Status::BadArgument),
        ((4 << 20) + PAGE, Status::BadArgument),
        (u64::MAX - PAGE + 1, Status::BadArgument),
        (PAGE, Status::Ok),
        (4 << 20, Status::Ok),
    ] {
        let before = suite.free_bytes();
        let made = SharedMemory::try_new(bytes);
        let size = made.map_or(bytes, |made| made.bytes().unwrap_or(0));
        let closed = made.map_or(Ok(()), |made| process::close(made.0));
        suite.expect(made, status, format_args!("shared memory of {bytes:#x}"));
        suite.check((size, closed) == (bytes, Ok(())), format_args!("its size: {size:#x}, {closed:?}"));
        let after = suite.free_bytes();
        suite.check(after == before, format_args!("free: {after:#x}, before {before:#x}"));
    }
    let elsewhere = process::open(suite.files, "abi-test").and_then(process::create);
    let child = elsewhere.unwrap_or(0);
    let answer = call(child, SharedCreate { bytes: PAGE, handle: 0, reserved: 0 });
    suite.expect(answer, Status::BadHandle, format_args!("shared memory in another process"));
    suite.expect(process::close(child), Status::Ok, format_args!("closing it"));
}

fn arguments(suite: &mut Suite<'_>) {
    let shared = SharedMemory::try_new(4 * PAGE).map_or(0, |shared| shared.0);
    let address = heap::reserve(8 * PAGE).unwrap_or(0);
    for (address, offset, bytes, permissions, status) in [
        (address, 0, 4 * PAGE, BOTH, Status::Ok),
        (address + 3 * PAGE, 0, PAGE, BOTH, Status::Overlap),
        (address + 4 * PAGE, PAGE, 2 * PAGE, READ, Status::Ok),
        (address + 6 * PAGE, 0, PAGE, 0, Status::BadArgument),
        (address + 6 * PAGE, 0, PAGE, Permissions::WRITE.bits(), Status::BadArgument),
        (address + 6 * PAGE, 0, PAGE, READ | Permissions::EXECUTE.bits(), Status::BadArgument),
        (address + 6 * PAGE, 0, PAGE, BOTH | 8, Status::BadArgument),
        (address + 6 * PAGE, 0, 0, READ, Status::BadArgument),
        (address + 6 * PAGE, 0, 8, READ, Status::BadArgument),
        (address + 6 * PAGE, 8, PAGE, READ, Status::BadArgument),
        (address + 6 * PAGE + 8, 0, PAGE, READ, Status::BadArgument),
        (address + 6 * PAGE, PAGE, 4 * PAGE, READ, Status::NotFound),
        (address + 6 * PAGE, 4 * PAGE, PAGE, READ, Status::NotFound),
        (address + 6 * PAGE, u64::MAX - PAGE + 1, 2 * PAGE, READ, Status::NotFound),
        (0, 0, PAGE, READ, Status::BadArgument),
        (0x7fff_ffff_f000, 0, PAGE, READ, Status::BadArgument),
        (0xffff_fe00_0000_0000, 0, PAGE, READ, Status::BadArgument),
    ] {
        let answer = map(shared, address, offset, bytes, permissions);
        let what =
            format_args!("{bytes:#x} of shared memory from {offset:#x} at {address:#x}, {permissions}");
        suite.expect(answer, status, what);
    }
    // SAFETY: both mapped above; the second begins with the first one's second page.
    let seen = unsafe {
        ((address + PAGE) as *mut u64).write_volatile(HERE);
        ((address + 4 * PAGE) as *const u64).read_volatile()
    };
    suite.check(seen == HERE, format_args!("two mappings of a page: {seen:#x}"));
    suite.expect(unmap(address, 8 * PAGE), Status::Ok, format_args!("taking all of it out"));
    suite.expect(process::close(shared), Status::Ok, format_args!("closing it"));
}

/// How many bytes are missing, once everything is gone: handle or mapping first, a part, an end by halves.
fn lives(suite: &Suite<'_>) -> Result<[u64; 5], Status> {
    let bytes = 40 * PAGE;
    let address = heap::reserve(2 * bytes).ok_or(Status::Exhausted)?;
    // The tables for this place.
    call(HANDLE_SELF, runtime::abi::operation::ProcessAllocate { address: address + bytes, bytes: PAGE })?;
    let before = suite.free_bytes();
    let missing = |suite: &Suite<'_>| before - suite.free_bytes();
    let mut seen = [0; 5];
    // The mapping outlives the handle, with what was written.
    let shared = SharedMemory::try_new(bytes)?.0;
    map(shared, address, 0, bytes, BOTH)?;
    process::close(shared)?;
    // SAFETY: mapped.
    let kept = unsafe {
        (address as *mut u64).write_volatile(HERE);
        (address as *const u64).read_volatile()
    };
    seen[0] = u64::from(kept != HERE || missing(suite) < bytes);
    unmap(address, PAGE)?;
    seen[1] = u64::from(missing(suite) < bytes - PAGE);
    unmap(address, bytes)?;
    seen[2] = missing(suite);
    // The handle outlives the mapping, and what is mapped again is as it was.
    let shared = SharedMemory::try_new(bytes)?.0;
    map(shared, address, 0, bytes, BOTH)?;
    // SAFETY: mapped.
    unsafe { ((address + PAGE) as *mut u64).write_volatile(THERE) };
    unmap(address, bytes)?;
    map(shared, address, PAGE, PAGE, READ)?;
    // SAFETY: mapped.
    seen[3] = u64::from(unsafe { (address as *const u64).read_volatile() } != THERE);
    unmap(address, bytes)?;
    process::close(shared)?;
    seen[4] = missing(suite);
    unmap(address + bytes, PAGE)?;
    Ok(seen)
}

/// A child with a handle by which it may read.
fn touched(suite: &Suite<'_>, how: &str) -> Result<u32, Status> {
    let shared = SharedMemory::try_new(PAGE)?;
    let child = Child::new(suite, "touch-shared")?.set("how", how);
    let child = child.grant("shared", shared.0, Rights::READ | Rights::MAP)?;
    let code = child.start(0, 1)?.join(suite)?.code;
    process::close(shared.0)?;
    Ok(code)
}

/// The child: may not map it to be written, reads it, and ends by something else.
pub fn touch(start: &Start) -> u32 {
    let shared = start.handle("shared").unwrap_or(0);
    let address = heap::reserve(2 * PAGE).unwrap_or(0);
    if map(shared, address, 0, PAGE, BOTH) != Err(Status::NoRight) {
        return 1;
    }
    if map(shared, address, 0, PAGE, READ).is_err() {
        return 2;
    }
    // SAFETY: mapped; what follows ends the process.
    unsafe {
        if (address as *const u64).read_volatile() != 0 {
            return 3;
        }
        match start.setting("how") {
            Some("write") => (address as *mut u64).write_volatile(1),
            _ => core::mem::transmute::<u64, extern "C" fn()>(address)(),
        }
    }
    4
}

/// A child makes shared memory and passes it in a call; the two see each other's words. What it wrote is
/// there still when it has ended. Returns that, and what is missing in the end.
fn processes(suite: &Suite<'_>) -> Result<(u64, u64), Status> {
    let run = |suite: &Suite<'_>| -> Result<u64, Status> {
        let endpoint = Endpoint::try_new()?;
        let channel = endpoint.channel(0)?;
        let child = Child::new(suite, "sharer")?.grant("channel", channel.0, Rights::SIGNAL)?;
        let child = child.start(suite.cpus - 1, 1)?;
        let mut message = Message { deadline_tsc: suite.in_us(60_000_000), ..Message::default() };
        endpoint.receive(&mut message)?;
        let shared = SharedMemory(message.handles[0]);
        let mapping = shared.map(Permissions::READ | Permissions::WRITE)?;
        let [first, second, ..] = mapping.words() else { return Err(Status::NotFound) };
        second.store(THERE, Ordering::SeqCst);
        message = Message { deadline_tsc: 0, ..Message::default() };
        let none = endpoint.reply_and_receive(&mut message).err();
        let code = child.join(suite)?.code;
        if (none, code) != (Some(Status::TimedOut), 0) {
            return Err(Status::WrongState);
        }
        for handle in [shared.0, channel.0, endpoint.0] {
            process::close(handle)?;
        }
        Ok(first.load(Ordering::SeqCst))
    };
    run(suite)?;
    let before = suite.free_bytes();
    let seen = run(suite)?;
    Ok((seen, u64::from(!suite.settles_at(before))))
}

/// The child: makes it, writes, passes it on, and finds what the other has written.
pub fn sharer(start: &Start) -> u32 {
    let run = || -> Result<u32, Status> {
        let channel = Channel(start.handle("channel").ok_or(Status::NotFound)?);
        let shared = SharedMemory::try_new(2 * PAGE)?;
        let mapping = shared.map(Permissions::READ | Permissions::WRITE)?;
        let [first, second, ..] = mapping.words() else { return Ok(2) };
        first.store(HERE, Ordering::SeqCst);
        let mut message = Message { deadline_tsc: u64::MAX, ..Message::default() };
        message.handles[0] = shared.0;
        channel.call(&mut message)?;
        Ok(if second.load(Ordering::SeqCst) == THERE { 0 } else { 3 })
    };
    run().unwrap_or(1)
}

/// What the kernel is asked to write where the caller may only read.
fn kernel_writes(suite: &Suite<'_>) -> Result<(), Status> {
    let shared = SharedMemory::try_new(PAGE)?;
    let address = heap::reserve(PAGE).ok_or(Status::Exhausted)?;
    map(shared.0, address, 0, PAGE, READ)?;
    let log = suite.start.handle("log").ok_or(Status::NotFound)?;
    let read = LogRead { from: 0, address, bytes: 64, lost: 0, end: 0 };
    let written = call(log, read).map(drop);
    unmap(address, PAGE)?;
    process::close(shared.0)?;
    written
}
