//! `SYS_RUN`: the vCPU's pending batch, then a run.
#![allow(unsafe_code, reason = "two functions are called by name from the backend's entry code")]

use core::sync::atomic::Ordering;

use vcpu_abi::operation::{Call, Handle, VcpuRun};
use vcpu_abi::status::Status;
use vcpu_abi::syscall::SYS_RUN;

use super::answer::Answer;
use super::batch;
use super::run::{self, Named};
use crate::cpu::{PerCpu, masked_time, this_cpu};
use crate::guest::run_cache;
use crate::guest::vcpu::Vcpu;
use crate::life;
use crate::platform::backend::exit::Exit;
use crate::task::process::Process;
use crate::task::scheduler;
use crate::task::thread::Thread;

/// What the backend's entry code calls for a `SYS_RUN` that it cannot enter at once.
#[unsafe(no_mangle)]
extern "C" fn sys_run(handle: u64) -> Answer {
    masked_time::begin_as(masked_time::CALL | SYS_RUN as u32);
    back_to_user(run_handle(handle))
}

/// Whatever ended the run, an interrupt of the host's may have made another thread ready meanwhile, and the
/// timer is not armed for it.
fn back_to_user(answer: Answer) -> Answer {
    if answer.status != Status::Ok as i64 || scheduler::wants_turn(this_cpu()) {
        // Nothing is held here any more: the thread may end.
        life::before_user();
    }
    masked_time::end();
    answer
}

fn run_handle(handle: u64) -> Answer {
    let Ok(handle) = Handle::try_from(handle) else { return Answer::new(Status::BadHandle, 0) };
    let cpu = this_cpu();
    let Some(thread) = scheduler::running(cpu) else { return Answer::new(Status::WrongState, 0) };
    // Before the table is looked at: if the handle is closed in between, what will be remembered is out of
    // date at once.
    let named = Named { handle, epoch: thread.process.handle_epoch.load(Ordering::Acquire) };
    let vcpu = match find(cpu, thread, named) {
        Ok(vcpu) => vcpu,
        Err(status) => return Answer::new(status, 0),
    };
    let count = vcpu.run_page.batch_count();
    if count != 0 {
        let (status, index) = batch::in_page(&thread.process, vcpu, count);
        if status != Status::Ok {
            return Answer::new(status, index);
        }
    }
    ended(vcpu, run::run_named(cpu, vcpu, Some((thread, named))), count)
}

/// What the backend's entry code calls when the exit was the kernel's own: handles it, and resumes the run.
#[unsafe(no_mangle)]
extern "C" fn sys_run_resume(exit: u32) -> Answer {
    masked_time::begin_as(masked_time::CALL | SYS_RUN as u32);
    back_to_user(resume(exit).unwrap_or(Answer::new(Status::WrongState, 0)))
}

fn resume(exit: u32) -> Option<Answer> {
    let cpu = this_cpu();
    // The handle was ready, so this thread has run the vCPU before, and no other since.
    let thread = scheduler::running(cpu)?;
    let (vcpu, handle, epoch) = run_cache::of(thread).last()?;
    let result = run::resume(cpu, vcpu, Some((thread, Named { handle, epoch })), Exit::from_code(exit));
    Some(ended(vcpu, result, 0))
}

/// The answer to a run, after so many operations.
fn ended(vcpu: &Vcpu, result: Result<(), Status>, operations: u32) -> Answer {
    match result {
        Ok(()) => Answer::new(Status::Ok, vcpu.run_page.exit_summary() as usize),
        Err(status) => Answer::new(status, operations as usize),
    }
}

/// The vCPU behind a handle: the one of the last run, in most cases.
fn find<'a>(cpu: &PerCpu, thread: &'a Thread, named: Named) -> Result<&'a Vcpu, Status> {
    if let Some(vcpu) = run_cache::of(thread).get(named.handle.into(), named.epoch) {
        return Ok(vcpu);
    }
    let vcpu = Process::find(&thread.process, named.handle, VcpuRun::RIGHTS)?;
    // What is ready is what was run last: `resume` relies on it, and this run may come to nothing.
    cpu.entry.ready.forget();
    run_cache::of(thread).set(named.handle, named.epoch, vcpu);
    run_cache::of(thread).get(named.handle.into(), named.epoch).ok_or(Status::BadHandle)
}
