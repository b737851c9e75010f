//! Handles for a part of guest memory: nothing beyond it is found through them.

use runtime::abi::operation::{Handle, MemoryMap, MemoryNarrow, MemoryRange, Rights, SystemCreateVm, VmMap};
use runtime::abi::status::Status;
use runtime::{Start, call, heap, process};

use crate::child::{self, Child};
use crate::revocation::{LARGE, region};
use crate::suite::Suite;

const PAGE: u64 = 4096;

fn narrow(memory: Handle, gpa: u64, bytes: u64) -> Result<Handle, Status> {
    call(memory, MemoryNarrow { gpa, bytes, handle: 0, reserved: 0 }).map(|made| made.handle)
}

fn range(memory: Handle, index: u64) -> Result<(u64, u64), Status> {
    call(memory, MemoryRange { index, gpa: 0, bytes: 0 }).map(|range| (range.gpa, range.bytes))
}

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    arguments(suite);
    let made = region(suite.memory, LARGE).and_then(|gpa| Ok((gpa, narrow(suite.memory, gpa, 4 * PAGE)?)));
    let Ok((gpa, part)) = made else {
        return suite.check(false, format_args!("a handle for a part: {made:?}"));
    };
    let seen = (range(part, 0), range(part, 1));
    let expected = (Ok((gpa, 4 * PAGE)), Err(Status::NotFound));
    suite.check(seen == expected, format_args!("the ranges of a part: {seen:x?}"));
    let smaller = narrow(part, gpa + PAGE, PAGE).and_then(|part| {
        let seen = range(part, 0);
        process::close(part)?;
        seen
    });
    suite.check(smaller == Ok((gpa + PAGE, PAGE)), format_args!("a part of a part: {smaller:x?}"));
    reach(suite, part, gpa);
    given(suite, part, gpa);
    suite.expect(process::close(part), Status::Ok, format_args!("closing a part"));
}

fn arguments(suite: &mut Suite<'_>) {
    let gpa = region(suite.memory, LARGE).unwrap_or(0);
    let (first, bytes) = range(suite.memory, 0).unwrap_or((0, 0));
    for (gpa, bytes, status) in [
        (gpa + 1, PAGE, Status::BadArgument),
        (gpa, PAGE + 1, Status::BadArgument),
        (gpa, 0, Status::BadArgument),
        (first + bytes, PAGE, Status::NotFound),
        (first, bytes + PAGE, Status::NotFound),
        (gpa, !(PAGE - 1), Status::NotFound),
        (0x800_0000, PAGE, Status::NotFound),
    ] {
        let answer = narrow(suite.memory, gpa, bytes);
        suite.expect(answer, status, format_args!("a handle for {bytes:#x} at {gpa:#x}"));
    }
}

/// What is mapped through a part: the part, and neither what is before nor what is behind it.
fn reach(suite: &mut Suite<'_>, part: Handle, gpa: u64) {
    let vm = call(suite.system, SystemCreateVm::default()).map_or(0, |made| made.handle);
    for (gpa, bytes, status) in [
        (gpa, 4 * PAGE, Status::Ok),
        (gpa - PAGE, PAGE, Status::NotFound),
        (gpa - PAGE, 2 * PAGE, Status::NotFound),
        (gpa + 3 * PAGE, 2 * PAGE, Status::NotFound),
        (gpa + 4 * PAGE, PAGE, Status::NotFound),
    ] {
        let address = heap::reserve(bytes).unwrap_or(0);
        let answer = call(part, MemoryMap { address, gpa, bytes });
        suite.expect(answer, status, format_args!("mapping {bytes:#x} at {gpa:#x} through a part"));
        let answer = call(vm, VmMap { memory: part, reserved: 0, gpa, bytes });
        suite.expect(answer, status, format_args!("the same in a VM"));
        let answer = narrow(part, gpa, bytes);
        suite.expect(answer, status, format_args!("a part of it"));
        let _ = answer.and_then(process::close);
    }
    suite.expect(process::close(vm), Status::Ok, format_args!("closing the VM"));
}

/// A process that was given a part has a part, with the rights it was given, and so has what it makes of it.
fn given(suite: &mut Suite<'_>, part: Handle, gpa: u64) {
    let run = || {
        let rights = Rights::READ | Rights::GRANT;
        let child = Child::new(suite, "narrowed")?.grant("part", part, rights)?;
        child.set("gpa", gpa).start(0, 1)?.join(suite)
    };
    let code = run().map(|state| state.code);
    suite.check(code == Ok(0), format_args!("a process with a part: {code:?}"));
}

/// The child, which may read the part and make others of it.
pub fn narrowed(start: &Start) -> u32 {
    let (Some(part), gpa) = (start.handle("part"), child::number(start, "gpa")) else { return 1 };
    if range(part, 0) != Ok((gpa, 4 * PAGE)) || narrow(part, gpa + 4 * PAGE, PAGE) != Err(Status::NotFound) {
        return 2;
    }
    let Ok(smaller) = narrow(part, gpa, PAGE) else { return 3 };
    let address = heap::reserve(PAGE).unwrap_or(0);
    match call(smaller, MemoryMap { address, gpa, bytes: PAGE }) {
        Err(Status::NoRight) => 0,
        _ => 4,
    }
}
