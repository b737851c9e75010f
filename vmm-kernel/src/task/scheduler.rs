//! The scheduler of each processor: fixed priorities, round robin within one, threads that never move.
//!
//! The kernel is not preempted: a thread loses its processor where it blocks, yields, is between two
//! operations of a batch, or is about to go back to user mode or to its guest while `reschedule` is set. Only
//! a processor's ready queue is touched by others; an ordinary exit touches none of it.
#![allow(unsafe_code, reason = "switching stacks, and state in the area of each processor")]

mod switch;
mod timer;

use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicBool, Ordering};

use self::switch::switch;
pub use self::switch::{finish_switch, hand_over, look_for_third};
pub use self::timer::{arm_timer, forget_alarm, look_at_time, set_alarm, stop_alarm, timer_fired};
use super::process::Process;
use super::sleepers::Sleepers;
use super::thread::{self, Thread};
use crate::cpu::{PerCpu, fpu, local_apic, masking, per_cpu, this_cpu, time};
use crate::memory::graves;
use crate::object::budget::Account;
use crate::object::fifo::Fifo;
use crate::object::pool::Ref;
use crate::sync::SpinLock;

/// Number of priorities.
pub const PRIORITIES: usize = 4;
/// Places in each priority's queue, and for sleepers: as many as there are threads.
const QUEUE_MAX: usize = 128;
/// How long a thread runs while another of its priority waits.
const QUANTUM_MS: u64 = 10;

/// The threads of one priority that are ready.
type Queue = Fifo<Thread, QUEUE_MAX>;

/// What one processor runs.
struct RunQueue {
    ready: SpinLock<[Queue; PRIORITIES]>,
    current: Cell<Option<Ref<Thread>>>,
    /// What `current` refers to; null while idle.
    running: Cell<*const Thread>,
    /// A thread that ended, until the next one is on its own stack.
    previous: Cell<Option<Ref<Thread>>>,
    idle_stack: Cell<u64>,
    sleepers: RefCell<Sleepers<Thread, QUEUE_MAX>>,
    /// The earliest TSC value at which the scheduler wants the timer.
    next_wake: Cell<u64>,
    /// TSC value the local APIC's timer is armed for; `u64::MAX` when it is not.
    armed_tsc: Cell<u64>,
    /// Set when another thread should run before this processor goes back to a user or a guest.
    reschedule: AtomicBool,
}

/// Of `RunQueue`, other processors touch `ready` and `reschedule` alone.
#[inline(always)]
fn queue(cpu: &PerCpu) -> &RunQueue {
    // SAFETY: `start_cpu` filled it before any thread ran on the processor and before others saw it.
    unsafe { cpu.scheduler.get() }
}

/// Makes this processor one that can run threads, before it is published.
///
/// # Safety
/// Once on each processor.
pub unsafe fn start_cpu() {
    // SAFETY: the caller's promise; nobody else sees the processor's area yet.
    unsafe { this_cpu().scheduler.fill(const { RunQueue::new() }) };
}

/// Whether another thread should run before this processor goes back to a user or a guest.
#[inline(always)]
pub fn wants_turn(cpu: &PerCpu) -> bool {
    queue(cpu).reschedule.load(Ordering::Relaxed)
}

impl RunQueue {
    /// Nothing to run.
    const fn new() -> Self {
        Self {
            ready: SpinLock::new([const { Fifo::new() }; PRIORITIES]),
            current: Cell::new(None),
            running: Cell::new(core::ptr::null()),
            previous: Cell::new(None),
            idle_stack: Cell::new(0),
            sleepers: RefCell::new(Sleepers::new()),
            next_wake: Cell::new(u64::MAX),
            armed_tsc: Cell::new(u64::MAX),
            reschedule: AtomicBool::new(false),
        }
    }

    /// Puts a thread in the queue of its priority if `condition` holds, which is asked under the queue's
    /// lock: whether a thread is blocked and whether it is queued change together.
    fn push_if(&self, thread: &Ref<Thread>, condition: impl FnOnce(&Queue) -> bool) -> bool {
        let mut ready = self.ready.lock();
        let Some(queue) = ready.get_mut(usize::from(thread.priority())) else { return false };
        let push = condition(queue);
        if push {
            queue.push(thread.clone());
        }
        push
    }

    /// Gives a thread another priority, and with it another queue if it is in one. Whether it is.
    fn set_priority(&self, thread: &Thread, priority: u8) -> bool {
        let mut ready = self.ready.lock();
        let before = thread.priority.swap(priority, Ordering::Relaxed);
        // Whether it is blocked and whether it is queued change together.
        let taken = match thread.is_blocked() {
            true => None,
            false => ready.get_mut(usize::from(before)).and_then(|queue| queue.take(thread)),
        };
        let queued = taken.is_some();
        if let Some(thread) = taken
            && let Some(queue) = ready.get_mut(usize::from(priority))
        {
            queue.push(thread);
        }
        queued
    }

    fn pop(&self) -> Option<Ref<Thread>> {
        self.ready.lock().iter_mut().rev().find_map(Fifo::pop)
    }

    fn any_ready(&self) -> bool {
        self.ready.lock().iter().any(|queue| !queue.is_empty())
    }
}

/// The running thread. Only called where there is one: system calls, and exceptions of user mode.
pub fn current() -> Ref<Thread> {
    let current = &queue(this_cpu()).current;
    let Some(thread) = current.take() else { unreachable!("a system call came from no thread") };
    current.set(Some(thread.clone()));
    thread
}

/// The reference by which the processor keeps the running thread, which is about to call [`hand_over`]: it
/// goes to where the thread will wait.
#[inline(always)]
pub fn take_current(cpu: &PerCpu) -> Ref<Thread> {
    let Some(thread) = queue(cpu).current.take() else { unreachable!("a system call came from no thread") };
    thread
}

/// The processor keeps another thread, behind [`take_current`].
#[inline(always)]
fn put_current(cpu: &PerCpu, thread: Ref<Thread>) {
    let nothing = queue(cpu).current.replace(Some(thread));
    // There is nothing to drop, which the compiler does not know.
    core::mem::forget(nothing);
}

/// The thread that makes a system call, without counting a reference: `None` while idle.
#[inline]
pub fn running(cpu: &PerCpu) -> Option<&Thread> {
    // SAFETY: a thread in its own system call is referred to by `current`, by its queue or by what it waits
    // for, until `leave`, from which it does not come back.
    unsafe { queue(cpu).running.get().as_ref() }
}

/// Makes a processor come by [`give_way`], before it goes back to user mode or to its guest.
fn call(cpu: &PerCpu) {
    queue(cpu).reschedule.store(true, Ordering::SeqCst);
    // A vCPU that is entered at once looks at its ticket alone, not at `reschedule`.
    cpu.entry.ready.forget();
    // This processor looks on its way out of the kernel; another may be in a guest or a process for long.
    if cpu.number != this_cpu().number {
        local_apic::kick(cpu.apic_id);
    }
}

/// Puts a new thread in its processor's queue.
pub fn enqueue(thread: &Ref<Thread>) {
    if let Some(cpu) = per_cpu::of(thread.cpu)
        && queue(cpu).push_if(thread, |_| true)
    {
        call(cpu);
    }
}

/// Makes a blocked thread ready; does nothing to one that is not blocked.
pub fn wake(thread: &Ref<Thread>) {
    if let Some(cpu) = per_cpu::of(thread.cpu)
        && queue(cpu).push_if(thread, |_| thread.unblock())
    {
        call(cpu);
    }
}

/// Makes the threads of a process come by the kernel, wherever they are.
pub fn interrupt_threads_of(process: &Ref<Process>) {
    for thread in thread::of_process(process) {
        // One that waits is woken to come to its end, and one that runs is called.
        wake(&thread);
        if let Some(cpu) = per_cpu::of(thread.cpu) {
            call(cpu);
        }
    }
}

/// Blocks the running thread, which has called `prepare_to_block`, until it is woken or the deadline passes.
pub fn block(deadline_tsc: u64) {
    let cpu = this_cpu();
    let me = current();
    // Who ends a process wakes its threads once. One that marks itself as blocked behind that would sleep for
    // ever: so it marks itself first, and looks then.
    if me.process.is_ending() && me.unblock() {
        return;
    }
    set_alarm(cpu, &me, deadline_tsc);
    schedule();
    stop_alarm(&me);
}

/// Gives a thread another priority.
#[inline(always)]
pub fn set_priority(thread: &Thread, priority: u8) {
    if thread.priority() != priority {
        change_priority(thread, priority);
    }
}

/// Gives a thread another priority than it has.
#[cold]
fn change_priority(thread: &Thread, priority: u8) {
    let Some(cpu) = per_cpu::of(thread.cpu) else { return };
    let is_less = thread.priority() > priority;
    let queued = queue(cpu).set_priority(thread, priority);
    // One that runs, and is less urgent than it was, may have to let another run.
    if queued || (is_less && queue(cpu).any_ready()) {
        call(cpu);
    }
}

/// Lets another thread run, if one is ready.
pub fn schedule() {
    let cpu = this_cpu();
    // Before the queue is looked at: who adds a thread later sets it again, and is not overlooked.
    queue(cpu).reschedule.store(false, Ordering::SeqCst);
    cpu.entry.ready.forget();
    let me = queue(cpu).current.take();
    if let Some(me) = &me {
        // A thread that was woken before it had left is in the queue already.
        queue(cpu).push_if(me, |queue| !me.is_blocked() && !me.is_ended() && !queue.contains(me));
    }
    let next = queue(cpu).pop();
    match (&me, &next) {
        (Some(a), Some(b)) if a.same(b) => {
            queue(cpu).current.replace(next);
            plan_quantum(cpu);
        }
        (None, None) => {}
        _ => switch(cpu, me, next),
    }
}

/// Lets threads that are as urgent as the running one run first, and those that are less urgent too, until
/// then, or for a millisecond.
pub fn yield_until(deadline_tsc: u64) {
    let now = time::now();
    if deadline_tsc > now {
        current().prepare_to_block();
        // A caller who has left something in the register does not sleep for ever.
        block(deadline_tsc.min(now + time::tsc_hz() / 1000));
    } else {
        schedule();
    }
}

/// Whether the running thread's process has a share of the processors: it is looked at now and then, though
/// nobody waits.
fn runs_with_share(cpu: &PerCpu) -> bool {
    running(cpu).is_some_and(|thread| thread.process.account.has_share())
}

fn plan_quantum(cpu: &PerCpu) {
    // A thread behind which nobody waits runs without a timer, and its guest without exits for one.
    if queue(cpu).any_ready() || runs_with_share(cpu) {
        let end = time::now() + time::tsc_hz() / 1000 * QUANTUM_MS;
        queue(cpu).next_wake.set(queue(cpu).next_wake.get().min(end));
    }
    arm_timer(cpu, u64::MAX);
}

/// Leaves the running thread, which is over, for ever. The caller holds nothing.
pub fn leave() -> ! {
    schedule();
    unreachable!("a thread that ended was run again");
}

/// Whether the running thread is to end.
#[inline(always)]
fn is_over(cpu: &PerCpu) -> bool {
    running(cpu).is_some_and(|me| me.process.is_ending())
}

/// Whether the running thread has to call [`give_way`] before it goes back to user mode.
#[inline(always)]
pub fn must_give_way(cpu: &PerCpu) -> bool {
    wants_turn(cpu) || is_over(cpu)
}

/// Lets other threads run, if they should. `false`: the running thread is to end, as soon as its callers have
/// let go of what they hold: its stack is never unwound.
#[must_use]
#[cold]
pub fn give_way() -> bool {
    loop {
        if is_over(this_cpu()) {
            return false;
        }
        if !queue(this_cpu()).reschedule.load(Ordering::SeqCst) {
            return true;
        }
        if !runs_with_share(this_cpu()) || !rest() {
            schedule();
        }
        if give_back() {
            // The rest of it in another turn.
            queue(this_cpu()).reschedule.store(true, Ordering::SeqCst);
        }
    }
}

/// Gives back some frames of tables that nobody uses any more, and takes interrupts. The caller holds
/// nothing. Returns whether there may be more.
pub fn give_back() -> bool {
    let more = graves::any() && graves::some();
    if more {
        masking::take_pending();
    }
    more
}

/// Has the running thread wait as long as its process has used more than its share of the processors. Returns
/// whether it had to.
#[cold]
fn rest() -> bool {
    let (me, now) = (current(), time::now());
    let ran = |account: &Account| thread::run_time_under(account, now);
    let Some(until) = me.process.account.rest_until(now, time::tsc_hz(), ran) else { return false };
    me.prepare_to_block();
    block(until);
    true
}

/// What comes between two operations of a batch: interrupts are taken, and other threads run, if they should.
/// So that what keeps a processor from either is one operation at most. `false`: as for [`give_way`]. The
/// caller holds nothing.
#[must_use]
pub fn take_turns() -> bool {
    masking::take_pending();
    // A process that ends on another processor has this one reschedule.
    !wants_turn(this_cpu()) || give_way()
}

/// The running thread used the FPU while a guest's registers, or nobody's, were in the processor. `false`: it
/// never asked for it.
pub fn give_fpu_back() -> bool {
    let asked = running(this_cpu()).is_some_and(|me| me.process.uses_fpu.load(Ordering::Relaxed));
    if asked {
        give_fpu();
    }
    asked
}

/// Gives the running thread the FPU.
pub fn give_fpu() {
    let cpu = this_cpu();
    if let Some(me) = running(cpu) {
        fpu::switch_to(cpu, &me.fpu, true);
    }
}

/// The kick's interrupt. What it is for is in `reschedule` or in a vCPU's pending work.
pub fn kicked() {}

/// A processor with nothing to do.
pub fn idle() -> ! {
    loop {
        schedule();
        // Frames are given back in time that nobody wants.
        if !give_back() && !queue(this_cpu()).reschedule.load(Ordering::SeqCst) {
            timer::wait(this_cpu());
        }
    }
}
