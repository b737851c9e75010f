//! Batches: operations one behind the other, in the caller's memory or in a vCPU's batch page.
//!
//! Each is copied in, executed and copied back. Between two of them interrupts are taken and other threads
//! have their turn. Of accesses to the host's ports that follow each other only the first is, and the rest is
//! done where it lies: [`in_place`](super::in_place).
#![allow(unsafe_code, reason = "operations that are done where they lie")]

use vcpu_abi::operation::{BATCH_MAX, FLAG_CONTINUE, Operation};
use vcpu_abi::status::Status;
use zerocopy::FromZeros;

use super::answer::Answer;
use super::dispatch::execute;
use super::in_place::PortAccesses;
use crate::cpu::this_cpu;
use crate::guest::vcpu::Vcpu;
use crate::layout::PAGE;
use crate::memory::user_copy;
use crate::object::pool::Ref;
use crate::task::process::Process;
use crate::task::scheduler;

const BYTES: u64 = size_of::<Operation>() as u64;

/// `SYS_BATCH`: operations in the caller's memory.
#[inline(always)]
pub fn in_user_memory(address: u64, count: u64) -> Answer {
    // Each has its own function, with no more registers to keep than it takes: inlined where all system calls
    // come by, they would make calls over channels dearer.
    if count == 1 { single(address) } else { many(address, count) }
}

/// What most batches are.
#[inline(never)]
fn single(address: u64) -> Answer {
    let Some(thread) = scheduler::running(this_cpu()) else { return Answer::new(Status::WrongState, 0) };
    match user_operation(&thread.process, address, true) {
        Ok((Status::Ok, ..) | (_, true, _)) => Answer::new(Status::Ok, 1),
        Ok((status, ..)) | Err(status) => Answer::new(status, 0),
    }
}

#[inline(never)]
fn many(address: u64, count: u64) -> Answer {
    if count == 0 || count > BATCH_MAX as u64 {
        return Answer::new(Status::BadArgument, 0);
    }
    let Some(thread) = scheduler::running(this_cpu()) else { return Answer::new(Status::WrongState, 0) };
    // Not counted once more: the thread keeps its process, and is there as long as its system call.
    let process = &thread.process;
    let mut index = 0;
    while index < count {
        if index > 0 && !scheduler::take_turns() {
            return Answer::new(Status::WrongState, index as usize);
        }
        // A sum that wraps is checked as any other address is, when it is copied from.
        let place = address.wrapping_add(index * BYTES);
        let (status, continues, more) = match user_operation(process, place, index + 1 == count) {
            Ok(done) => done,
            Err(status) => (status, false, None),
        };
        if status != Status::Ok && !continues {
            return Answer::new(status, index as usize);
        }
        index += 1;
        if let Some(accesses) = more {
            // No further than the page that was just written to: of the next one it is not known whether it
            // may be.
            let in_page = ((PAGE - place % PAGE) / BYTES).saturating_sub(1);
            // SAFETY: what has just been written lies in the user's half, and so does the rest of its page.
            index += unsafe { accesses.run(place + BYTES, in_page.min(count - index)) };
        }
    }
    Answer::new(Status::Ok, count as usize)
}

/// One operation: its status, whether to go on after a failure, and what can follow in place.
#[inline(always)]
fn user_operation(
    process: &Ref<Process>,
    place: u64,
    last: bool,
) -> Result<(Status, bool, Option<PortAccesses>), Status> {
    // Once: what is executed is what was checked, whatever other threads write there meanwhile.
    // And to where it stays: a value that is returned would be copied once more.
    let mut operation = Operation::new_zeroed();
    user_copy::read_into(place, &mut operation)?;
    let status = execute(process, &mut operation, last);
    operation.status = status as i32;
    // It has been executed: that its result cannot be written is told, but takes nothing back.
    user_copy::write_from(place, &operation)?;
    let more = if last || status != Status::Ok { None } else { PortAccesses::like(process, &operation) };
    Ok((status, operation.flags & FLAG_CONTINUE != 0, more))
}

/// The operations in the batch page of a vCPU: how many there were, or the status of the one that failed and
/// which it was. They are executed with the caller's handles, so they must be the caller's: who has the page
/// mapped is the process that made the vCPU, and nobody else.
pub fn in_page(process: &Ref<Process>, vcpu: &Vcpu, count: u32) -> (Status, usize) {
    if vcpu.creator != process.serial {
        return (Status::NoRight, 0);
    }
    // Before the first of them: a batch that fails halfway must not be done again by the next run.
    vcpu.run_page.set_batch_count(0);
    let count = count as usize;
    if count > BATCH_MAX {
        return (Status::BadArgument, 0);
    }
    let mut index = 0;
    while index < count {
        if index > 0 && !scheduler::take_turns() {
            return (Status::WrongState, index);
        }
        let mut operation = vcpu.batch_operation(index);
        let status = execute(process, &mut operation, false);
        operation.status = status as i32;
        vcpu.set_batch_operation(index, operation);
        if status != Status::Ok && operation.flags & FLAG_CONTINUE == 0 {
            return (status, index);
        }
        index += 1;
        if index < count
            && status == Status::Ok
            && let Some(accesses) = PortAccesses::like(process, &operation)
        {
            let place = vcpu.batch_place(index);
            // SAFETY: `count` is at most what the batch page has, which is mapped as long as the vCPU lives.
            index += unsafe { accesses.run(place, (count - index) as u64) } as usize;
        }
    }
    (Status::Ok, count)
}
