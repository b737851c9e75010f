//! Where a batch ends: at its count, at the end of mapped memory, at its first failure. Accesses to ports,
//! which are done where they lie, must not go further than others.
#![allow(unsafe_code, reason = "operations in a batch page, and at the end of what is mapped")]

use runtime::abi::operation::{BATCH_MAX, Handle, Operation};
use runtime::abi::registers::Groups;
use runtime::abi::status::Status;
use runtime::abi::syscall::SYS_BATCH;
use runtime::{heap, process, syscall};

use crate::batches::{UNTOUCHED, scratch, write};
use crate::suite::Suite;
use crate::vm::Machine;

/// Behind the run page.
const BATCH_PAGE: usize = 4096;

/// All of it.
pub fn test(suite: &mut Suite<'_>, ports: Handle) {
    at_its_count(suite, ports);
    at_the_end_of_memory(suite, ports);
    let tested = in_batch_page(suite, ports);
    suite.expect(tested, Status::Ok, format_args!("a vCPU for its batch page"));
}

/// What lies behind a batch in memory is no part of it.
fn at_its_count(suite: &mut Suite<'_>, ports: Handle) {
    for count in 1..5 {
        let mut operations = [0, 1, 2, 3, 4, 5].map(|value| write(ports, value));
        let (batch, rest) = operations.split_at_mut(count);
        let answer = syscall::batch(batch);
        let alone = rest.iter().all(|operation| operation.status == UNTOUCHED);
        let last = scratch(ports);
        let holds = answer.is_ok() && alone && last == count as u32 - 1;
        suite.check(holds, format_args!("behind {count} operations: {answer:?} {alone} {last}"));
    }
}

/// A batch of which only the first two lie in memory.
fn at_the_end_of_memory(suite: &mut Suite<'_>, ports: Handle) {
    // The page behind this one stays unmapped.
    let Some((page, _)) = heap::pages(4096).zip(heap::reserve(4096)) else {
        return suite.check(false, format_args!("a page and a hole"));
    };
    let place = page + 4096 - 2 * size_of::<Operation>() as u64;
    for index in 0..2 {
        // SAFETY: within the page just allocated.
        unsafe { (place as *mut Operation).add(index).write(write(ports, 0x20 + index as u32)) };
    }
    // SAFETY: the kernel writes to those two, and refuses what is not mapped.
    let (status, index) = unsafe { syscall::raw(SYS_BATCH, place, 5) };
    let answer = (Status::from_code(status as i32), index, scratch(ports));
    let expected = (Some(Status::BadPointer), 2, 0x21);
    suite.check(answer == expected, format_args!("accesses to ports over a page's end: {answer:?}"));
}

/// Puts operations in the batch page, and runs the vCPU with so many of them.
fn run(machine: &Machine, operations: &[Operation], count: usize) -> Result<(), (Status, usize)> {
    // SAFETY: run page and batch page are ours while the vCPU does not run; no caller has more than fit.
    unsafe {
        let page = machine.page.byte_add(BATCH_PAGE).cast::<Operation>();
        for (index, operation) in operations.iter().enumerate() {
            page.add(index).write_volatile(*operation);
        }
        (*machine.page).batch_count = count as u32;
        (*machine.page).dirty |= Groups::CONTROLS.bits();
    }
    syscall::run(machine.vcpu).map(drop)
}

/// The status of an operation in the batch page.
fn status(machine: &Machine, index: usize) -> i32 {
    // SAFETY: as in `run`.
    unsafe { machine.page.byte_add(BATCH_PAGE).cast::<Operation>().add(index).read_volatile() }.status
}

/// The same of a batch page; and it is refused whole if there are more than it has.
fn in_batch_page(suite: &mut Suite<'_>, ports: Handle) -> Result<(), Status> {
    // hlt; and again
    let machine = Machine::new(suite.system, 0, &[0xf4, 0xeb, 0xfd])?;
    let mut full = [write(ports, 0x33); BATCH_MAX];
    syscall::batch(&mut [write(ports, 0x11)]).map_err(|(status, _)| status)?;
    for count in [BATCH_MAX + 1, 2 * BATCH_MAX] {
        let answer = run(&machine, &full, count);
        let seen = (answer, status(&machine, 0), scratch(ports));
        let expected = (Err((Status::BadArgument, 0)), UNTOUCHED, 0x11);
        suite.check(seen == expected, format_args!("{count} operations in a batch page: {seen:?}"));
    }
    let answer = run(&machine, &full, BATCH_MAX);
    let seen = (answer, status(&machine, BATCH_MAX - 1), scratch(ports));
    suite.check(seen == (Ok(()), 0, 0x33), format_args!("a full batch page: {seen:?}"));
    for count in 1..5 {
        let operations = [0, 1, 2, 3, 4, 5].map(|value| write(ports, value));
        let seen = (run(&machine, &operations, count), status(&machine, count), scratch(ports));
        let expected = (Ok(()), UNTOUCHED, count as u32 - 1);
        suite.check(seen == expected, format_args!("behind {count} in a batch page: {seen:?}"));
    }
    for at in [0, 1, 2, 30] {
        full = core::array::from_fn(|index| write(ports, 0x40 + index as u32));
        full[at].handle = 0;
        let answer = run(&machine, &full, BATCH_MAX);
        let seen = (answer, status(&machine, at + 1));
        let expected = (Err((Status::BadHandle, at)), UNTOUCHED);
        suite.check(seen == expected, format_args!("a failure at {at} in a batch page: {seen:?}"));
    }
    process::close(machine.vcpu)?;
    process::close(machine.vm)
}
