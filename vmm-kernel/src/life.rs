//! How processes and threads begin and end, and the way of each thread back to user mode.
#![allow(unsafe_code, reason = "a function is called by name from a new thread's first instructions")]

use core::sync::atomic::Ordering;

use vcpu_abi::status::Status;

use crate::channel::{self, Names};
use crate::cpu::{masked_time, per_cpu, this_cpu};
use crate::event::Event;
use crate::guest::run_cache::{self, RunCache};
use crate::layout::{USER_STACK_TOP, USER_START_PAGE};
use crate::memory::space::Space;
use crate::memory::temporary;
use crate::object::pool::Ref;
use crate::task::process::{EndCause, Life, Process};
use crate::task::scheduler;
use crate::task::thread::{self, Start};

/// Starts a process with its first thread, when `fill` has written its start page. One that could not be
/// started is as new as before.
pub fn start(
    process: &Ref<Process>,
    fill: impl FnOnce(&Space) -> Result<(), Status>,
    cpu: u32,
    priority: u8,
) -> Result<(), Status> {
    let entry = process.start()?;
    process.priority.store(u32::from(priority), Ordering::Relaxed);
    // The first function finds its stack as if it had been called: aligned behind a return address.
    let start = Start { entry, stack: USER_STACK_TOP - 8, argument: USER_START_PAGE };
    let page = process.space.lookup(USER_START_PAGE);
    // A start that failed may have left something.
    page.map(|frame| temporary::with_frame(frame, |words| words.fill(0)))
        .and_then(|()| fill(&process.space))
        .and_then(|()| add_thread(process, start, cpu, priority))
        .inspect_err(|_| process.take_start_back())
}

/// Adds a thread to a process that runs.
pub fn add_thread(process: &Ref<Process>, start: Start, cpu: u32, priority: u8) -> Result<(), Status> {
    per_cpu::of(cpu).ok_or(Status::BadArgument)?;
    // Counted before it is there: a thread that ends meanwhile must not be taken for the last one.
    process.add_thread();
    let thread = thread::try_new(process, start, cpu, priority, (RunCache::new(), Names::new()))
        .inspect_err(|_| {
            process.remove_thread();
        })?;
    scheduler::enqueue(&thread);
    Ok(())
}

/// Signals `event` when a process ends; at once, if it has.
pub fn watch(process: &Process, event: Ref<Event>) -> Result<(), Status> {
    if !process.watch(event.clone().into())? {
        event.signal();
    }
    Ok(())
}

/// The first thing of a new thread. Its process may have ended since it was made, unseen by who looked for
/// threads to end.
#[unsafe(no_mangle)]
extern "C" fn begin_thread() {
    scheduler::finish_switch();
    before_user();
    masked_time::end();
}

/// Ends the running thread's process. Its threads stop as they come by; the caller's must not go back to user
/// mode.
pub fn end_current(cause: EndCause) {
    let me = scheduler::current();
    me.process.end(cause);
    scheduler::interrupt_threads_of(&me.process);
}

/// Ends a process that runs, whoever's it is.
pub fn end(process: &Ref<Process>, cause: EndCause) -> Result<(), Status> {
    if process.life() != Life::Running {
        return Err(Status::WrongState);
    }
    process.end(cause);
    scheduler::interrupt_threads_of(process);
    Ok(())
}

/// Ends the running thread, and with the last one its process.
pub fn exit_thread() -> ! {
    {
        // In a block of its own, since `leave` does not come back: what is held when it is called is held for
        // ever.
        let me = scheduler::current();
        // What floors above keep for a thread is never dropped; left there, the vCPU would outlive its
        // process.
        run_cache::of(&me).clear();
        channel::thread_ends(&me);
        // Among the sleepers a reference would keep the thread, and with it its process, until that time.
        scheduler::forget_alarm(&me);
        me.set_ended();
        if me.process.remove_thread() {
            let watchers = me.process.ended();
            channel::process_ended(me.process.serial);
            watchers.iter().flatten().filter_map(|w| w.to::<Event>()).for_each(|event| event.signal());
        }
    }
    scheduler::leave()
}

/// What every way back to user mode passes, the ordinary exit's aside. The callers hold nothing.
#[inline(always)]
pub fn before_user() {
    if scheduler::must_give_way(this_cpu()) && !scheduler::give_way() {
        exit_thread();
    }
}
