//! The system calls and operations: what a process asks, checked and done.
//!
//! Everything a process gives is hostile. An operation's payload is copied in once, its handle is resolved to
//! an object of the right kind with the rights it takes, and the handler sees typed values. There are two
//! outcomes: a status, or the caller's death (for a call that does not exist, or an exception of its own).
#![allow(unsafe_code, reason = "a function is called by name from the entry code")]

mod answer;
mod batch;
mod budget;
mod channel;
mod dispatch;
mod execute;
mod host_port;
mod in_place;
mod memory;
mod observe;
mod pci;
mod pieces;
mod process;
mod run;
mod shared;
mod sys_run;
mod system;
mod vcpu;

use vcpu_abi::status::Status;
use vcpu_abi::syscall::{SYS_BATCH, SYS_CALL, SYS_EXIT, SYS_RECEIVE, SYS_THREAD_EXIT, SYS_YIELD};

use self::answer::Answer;
use crate::cpu::masked_time;
use crate::life::{self, end_current};
use crate::task::process::EndCause;
use crate::task::scheduler;

/// What the entry code calls for the system calls but `SYS_RUN` and those whose message is in registers.
#[unsafe(no_mangle)]
pub extern "C" fn syscall_dispatch(first: u64, second: u64, third: u64, number: u64) -> Answer {
    masked_time::begin_as(masked_time::CALL | number as u32);
    let answer = match number {
        SYS_BATCH => batch::in_user_memory(first, second),
        SYS_YIELD => {
            scheduler::yield_until(first);
            Answer::new(Status::Ok, 0)
        }
        SYS_THREAD_EXIT => life::exit_thread(),
        SYS_CALL => channel::call(first, second),
        SYS_RECEIVE => channel::receive(first, second, third),
        SYS_EXIT => {
            end_current(EndCause::Exit(first as u32));
            Answer::new(Status::Ok, 0)
        }
        _ => channel::no_such_call(number),
    };
    life::before_user();
    masked_time::end();
    answer
}
