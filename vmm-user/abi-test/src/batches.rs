//! Batches of accesses to ports, of which the kernel does all but the first where they lie: they must come
//! out as if each were alone.
#![allow(unsafe_code, reason = "operations at addresses where the runtime would put none")]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;

use runtime::abi::operation::{
    BATCH_MAX, Call, FLAG_CONTINUE, HANDLE_SELF, Handle, Operation, PortRead, PortWrite, ProcessAllocate,
    VcpuRun,
};
use runtime::abi::status::Status;
use runtime::abi::syscall::SYS_BATCH;
use runtime::{call, heap, process, syscall};

use crate::batch_ends;
use crate::suite::Suite;
use crate::vm::Machine;

/// Offset of the UART's scratch register, which keeps what is written.
const SCRATCH: u32 = 7;
/// What the kernel leaves in the status of an operation it did not get to.
pub const UNTOUCHED: i32 = 0x5555;

/// A write to the scratch register.
pub fn write(ports: Handle, value: u32) -> Operation {
    let operation = PortWrite { offset: SCRATCH, width: 1, value, reserved: 0 }.on(ports);
    Operation { status: UNTOUCHED, ..operation }
}

fn read(ports: Handle) -> Operation {
    PortRead { offset: SCRATCH, width: 1, value: 0x1234_5678, reserved: 0 }.on(ports)
}

/// What the scratch register has.
pub fn scratch(ports: Handle) -> u32 {
    let mut operation = [read(ports)];
    syscall::batch(&mut operation).map_or(u32::MAX, |()| PortRead::from_operation(&operation[0]).value)
}

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let Some(ports) = suite.start.handle("serial-ports") else {
        return suite.check(false, format_args!("the serial port was not granted"));
    };
    rows(suite, ports);
    failures(suite, ports);
    places(suite, ports);
    last_page(suite, ports);
    batch_ends::test(suite, ports);
    let answer = run_before_the_end(suite, ports);
    let expected = Ok(Err((Status::BadOperation, 0)));
    suite.check(answer == expected, format_args!("a run that does not end its batch: {answer:?}"));
}

/// A run only ends a batch: what is behind it would wait for the guest.
fn run_before_the_end(suite: &Suite<'_>, ports: Handle) -> Result<Result<(), (Status, usize)>, Status> {
    // hlt
    let machine = Machine::new(suite.system, 0, &[0xf4])?;
    let mut batch = [VcpuRun::default().on(machine.vcpu), write(ports, 1)];
    let answer = syscall::batch(&mut batch);
    process::close(machine.vcpu)?;
    process::close(machine.vm)?;
    Ok(answer)
}

/// Writes, reads, and both in turn.
fn rows(suite: &mut Suite<'_>, ports: Handle) {
    for count in [1, 2, 3, 16, BATCH_MAX] {
        let mut batch: Vec<_> = (0..count as u32).map(|value| write(ports, value)).collect();
        suite.expect(syscall::batch(&mut batch).map_err(|e| e.0), Status::Ok, format_args!("{count} writes"));
        suite.check(batch.iter().all(|o| o.status == 0), format_args!("{count} writes: statuses"));
        suite.check(scratch(ports) == count as u32 - 1, format_args!("{count} writes: the last counts"));
        let mut batch = vec![read(ports); count];
        suite.expect(syscall::batch(&mut batch).map_err(|e| e.0), Status::Ok, format_args!("{count} reads"));
        let good =
            batch.iter().all(|o| o.status == 0 && PortRead::from_operation(o).value == count as u32 - 1);
        suite.check(good, format_args!("{count} reads: what was written"));
    }
    let mut batch: Vec<_> =
        (0..16).flat_map(|value| [write(ports, value), write(ports, 99 - value), read(ports)]).collect();
    suite.expect(
        syscall::batch(&mut batch).map_err(|e| e.0),
        Status::Ok,
        format_args!("writes and reads in turn"),
    );
    let reads = batch.iter().skip(2).step_by(3).map(|o| PortRead::from_operation(o).value);
    suite
        .check(reads.eq((0..16).map(|value| 99 - value)), format_args!("each read sees the write before it"));
}

/// One of many is wrong, in each way.
fn failures(suite: &mut Suite<'_>, ports: Handle) {
    let payload = |width: u32, offset: u32, reserved: u32| PortWrite { offset, width, value: 7, reserved };
    let wrong = [
        ("width 3", payload(3, SCRATCH, 0).on(ports), Status::BadArgument),
        ("width 0", payload(0, SCRATCH, 0).on(ports), Status::BadArgument),
        ("past the window", payload(1, 8, 0).on(ports), Status::BadArgument),
        ("across its end", payload(2, SCRATCH, 0).on(ports), Status::BadArgument),
        ("far away", payload(4, u32::MAX, 0).on(ports), Status::BadArgument),
        ("a reserved field", payload(1, SCRATCH, 1).on(ports), Status::BadArgument),
        ("another handle", payload(1, SCRATCH, 0).on(0), Status::BadHandle),
        ("an unknown flag", Operation { flags: 2, ..write(ports, 7) }, Status::BadArgument),
        ("an unknown code", Operation { code: u32::MAX, ..write(ports, 7) }, Status::BadOperation),
    ];
    for (what, operation, status) in wrong {
        for at in [1, 5, 15] {
            let mut batch: Vec<_> = (0..16).map(|value| write(ports, 0x40 + value)).collect();
            batch[at] = operation;
            let answer = syscall::batch(&mut batch);
            suite.check(answer == Err((status, at)), format_args!("{what} at {at}: {answer:?}"));
            suite.check(
                scratch(ports) == 0x40 + at as u32 - 1,
                format_args!("{what} at {at}: those before it"),
            );
            let rest = batch.iter().skip(at + 1).all(|o| o.status == UNTOUCHED);
            suite.check(rest, format_args!("{what} at {at}: those behind it are not looked at"));
            batch.iter_mut().for_each(|o| o.flags |= FLAG_CONTINUE);
            let answer = syscall::batch(&mut batch);
            suite.check(answer.is_ok(), format_args!("{what} at {at}, going on: {answer:?}"));
            let statuses = (0..16).map(|i| if i == at { status as i32 } else { 0 });
            suite
                .check(batch.iter().map(|o| o.status).eq(statuses), format_args!("{what} at {at}: statuses"));
        }
    }
}

/// Operations up to the end of the last page that is mapped, and more of them said to follow there.
fn last_page(suite: &mut Suite<'_>, ports: Handle) {
    let page = heap::reserve(2 * 4096).unwrap_or(0);
    let got = call(HANDLE_SELF, ProcessAllocate { address: page, bytes: 4096 }).map(drop);
    suite.expect(got, Status::Ok, format_args!("a page before one that is not there"));
    if got.is_err() {
        return;
    }
    for (there, beyond) in [(1, 1), (2, 1), (5, 3), (32, 32)] {
        let first = page + 4096 - there * 64;
        for index in 0..there {
            let operation = write(ports, (index + there) as u32 & 0x7f);
            // SAFETY: within the page, which is mapped and nobody else's.
            unsafe { ((first + index * 64) as *mut Operation).write(operation) };
        }
        // SAFETY: the kernel writes within the page.
        let (status, index) = unsafe { syscall::raw(SYS_BATCH, first, there + beyond) };
        let good = Status::from_code(status as i32) == Some(Status::BadPointer)
            && index == there
            && scratch(ports) == (2 * there - 1) as u32 & 0x7f;
        suite.check(good, format_args!("{there} operations and {beyond} beyond: {status} {index}"));
    }
}

/// Operations at every distance from the start and the end of a page, so that some lie in two.
fn places(suite: &mut Suite<'_>, ports: Handle) {
    const COUNT: usize = 5;
    let mut memory = vec![0u8; 3 * 4096];
    let page = memory.as_mut_ptr().align_offset(4096);
    for offset in (0..8).chain(4096 - 8 * 64..4096) {
        let Some(target) = memory.get_mut(page + offset..page + offset + COUNT * 64) else { break };
        for (value, place) in target.chunks_mut(64).enumerate() {
            let operation = write(ports, (value + offset) as u32 & 0x7f);
            // SAFETY: an operation is plain bytes, as many as the chunk has.
            unsafe { place.as_mut_ptr().cast::<Operation>().write_unaligned(operation) };
        }
        // SAFETY: the kernel writes within `target`.
        let (status, index) = unsafe { syscall::raw(SYS_BATCH, target.as_ptr() as u64, COUNT as u64) };
        let good =
            status == 0 && index == COUNT as u64 && scratch(ports) == (COUNT - 1 + offset) as u32 & 0x7f;
        if !good || offset % 64 == 8 {
            suite.check(good, format_args!("operations at {offset} in a page: {status} {index}"));
        }
    }
}
