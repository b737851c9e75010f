//! The scheduler of each processor: fixed priorities, round robin within one, threads that never move.
//!
//! The kernel is not preempted: a thread loses its processor where it blocks, yields, is between two
//! operations of a batch, or is about to go back to user mode or to its guest while `reschedule` is set. Only
//! a processor's ready queue is touched by others; an ordinary exit touches none of it.
#![allow(unsafe_code, reason = "switching stacks, and state in the area of each processor")]

use core::arch::global_asm;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicBool, Ordering};

use super::process::Process;
use super::sleepers::Sleepers;
use super::thread::{self, Thread};
use crate::cpu::{PerCpu, fpu, local_apic, masking, per_cpu, speculation, this_cpu, time};
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
    current: RefCell<Option<Ref<Thread>>>,
    /// What `current` refers to; null while idle.
    running: Cell<*const Thread>,
    /// A thread that ended, until the next one is on its own stack.
    previous: RefCell<Option<Ref<Thread>>>,
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
            current: RefCell::new(None),
            running: Cell::new(core::ptr::null()),
            previous: RefCell::new(None),
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
    fn set_priority(&self, thread: &Ref<Thread>, priority: u8) -> bool {
        let mut ready = self.ready.lock();
        let before = thread.priority.swap(priority, Ordering::Relaxed);
        // Whether it is blocked and whether it is queued change together.
        let queued = !thread.is_blocked()
            && ready.get_mut(usize::from(before)).is_some_and(|queue| queue.remove(thread));
        if queued && let Some(queue) = ready.get_mut(usize::from(priority)) {
            queue.push(thread.clone());
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

global_asm!(
    r#"
    .pushsection .text.switch, "ax"
    .balign 16
    // rdi: where to save RSP, rsi: the RSP to load.
context_switch:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov [rdi], rsp
    mov rsp, rsi
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret
    .popsection
    "#
);

unsafe extern "C" {
    fn context_switch(save: *mut u64, load: u64);
}

/// The running thread. Only called where there is one: system calls, and exceptions of user mode.
pub fn current() -> Ref<Thread> {
    match queue(this_cpu()).current.borrow().as_ref() {
        Some(thread) => thread.clone(),
        None => unreachable!("a system call came from no thread"),
    }
}

/// The thread that makes a system call, without counting a reference: `None` while idle.
#[inline]
pub fn running(cpu: &PerCpu) -> Option<&Thread> {
    // SAFETY: a thread in its own system call is referred to by `current`, by its queue or by what it waits
    // for, until `leave`, from which it does not come back.
    unsafe { queue(cpu).running.get().as_ref() }
}

/// Runs `f` with the running thread, without counting a reference.
pub fn with_current<R>(f: impl FnOnce(&Ref<Thread>) -> R) -> R {
    match queue(this_cpu()).current.borrow().as_ref() {
        Some(thread) => f(thread),
        None => unreachable!("a system call came from no thread"),
    }
}

/// Makes a processor come by [`give_way`], before it goes back to user mode or to its guest.
fn call(cpu: &PerCpu) {
    queue(cpu).reschedule.store(true, Ordering::SeqCst);
    cpu.entry.ready.forget();
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
        wake(&thread);
        if let Some(cpu) = per_cpu::of(thread.cpu) {
            call(cpu);
        }
    }
}

/// Has the thread, which is about to block, woken at the deadline. `u64::MAX`: at none.
fn set_alarm(cpu: &PerCpu, me: &Ref<Thread>, deadline_tsc: u64) {
    if deadline_tsc != u64::MAX {
        queue(cpu).sleepers.borrow_mut().add(deadline_tsc, me.clone());
        queue(cpu).next_wake.set(queue(cpu).next_wake.get().min(deadline_tsc));
    }
}

/// Takes back what [`set_alarm`] did, whether the deadline has come or not.
fn stop_alarm(cpu: &PerCpu, me: &Ref<Thread>, deadline_tsc: u64) {
    if deadline_tsc != u64::MAX {
        queue(cpu).sleepers.borrow_mut().remove(me);
    }
}

/// Blocks the running thread, which has called `prepare_to_block`, until it is woken or the deadline passes.
pub fn block(deadline_tsc: u64) {
    let cpu = this_cpu();
    let me = current();
    if me.process.is_ending() && me.unblock() {
        return;
    }
    set_alarm(cpu, &me, deadline_tsc);
    schedule();
    stop_alarm(cpu, &me, deadline_tsc);
}

/// Blocks the running thread, like [`block`], and runs another of this processor's in its place, which was
/// blocked and which the caller has [unblocked](Thread::unblock): no queue sees it. The other one goes on
/// with what the running thread had left of its turn.
pub fn block_for(next: Ref<Thread>, deadline_tsc: u64) {
    let cpu = this_cpu();
    let me = current();
    if me.process.is_ending() && me.unblock() {
        enqueue(&next);
        return;
    }
    set_alarm(cpu, &me, deadline_tsc);
    if me.priority() != next.priority() {
        // Some third thread may come before the other one.
        queue(cpu).reschedule.store(true, Ordering::SeqCst);
    }
    hand_processor_to(cpu, &me, next);
    stop_alarm(cpu, &me, deadline_tsc);
}

fn hand_processor_to(cpu: &PerCpu, me: &Thread, next: Ref<Thread>) {
    cpu.entry.ready.forget();
    let save = me.saved_stack.as_ptr();
    let load = enter(&next);
    let now = time::now();
    me.ran.end(now);
    next.ran.begin(now);
    queue(cpu).running.set(&raw const *next);
    let before = queue(cpu).current.replace(Some(next));
    drop(before);
    // A timer that comes too early is armed again then.
    if queue(cpu).next_wake.get() < queue(cpu).armed_tsc.get() {
        arm_timer(cpu, u64::MAX);
    }
    // SAFETY: as in `switch`; the running thread is referred to by what it waits for.
    unsafe { context_switch(save, load) };
    finish_switch();
}

/// Gives a thread another priority than it has.
pub fn set_priority(thread: &Ref<Thread>, priority: u8) {
    let Some(cpu) = per_cpu::of(thread.cpu) else { return };
    if thread.priority() == priority {
        return;
    }
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

fn plan_quantum(cpu: &PerCpu) {
    if queue(cpu).any_ready() {
        let end = time::now() + time::tsc_hz() / 1000 * QUANTUM_MS;
        queue(cpu).next_wake.set(queue(cpu).next_wake.get().min(end));
    }
    arm_timer(cpu, u64::MAX);
}

/// Makes the processor a thread's but for its stack pointer, which is returned. It is about to be `current`.
#[inline(always)]
fn enter(thread: &Ref<Thread>) -> u64 {
    // SAFETY: the stack is the thread's; so is, by its process, the address space, and `current` keeps both
    // until another thread's is loaded, or the kernel's own.
    unsafe {
        per_cpu::set_kernel_stack(thread.stack_top);
        crate::memory::loaded::load(thread.process.space.root());
    }
    speculation::forget_branches();
    fpu::switch_to(&thread.fpu, thread.process.uses_fpu.load(Ordering::Relaxed));
    thread.saved_stack.get()
}

fn switch(cpu: &PerCpu, from: Option<Ref<Thread>>, to: Option<Ref<Thread>>) {
    let save = match &from {
        Some(thread) => thread.saved_stack.as_ptr(),
        None => queue(cpu).idle_stack.as_ptr(),
    };
    let load = match &to {
        Some(thread) => enter(thread),
        None => {
            // SAFETY: the kernel's own tables stay.
            unsafe { crate::memory::loaded::load(crate::image::kernel_root()) };
            queue(cpu).idle_stack.get()
        }
    };
    account(from.as_ref(), to.as_ref());
    queue(cpu).running.set(to.as_ref().map_or(core::ptr::null(), |thread| &raw const **thread));
    queue(cpu).current.replace(to);
    // The old thread's reference outlives its stack by this.
    let ended = from.filter(|t| t.is_ended());
    if ended.is_some() {
        queue(cpu).previous.replace(ended);
    }
    plan_quantum(cpu);
    // SAFETY: both stacks are kernel stacks in the area that all address spaces share; `load` was saved by
    // this function or laid out by `thread::try_new`.
    unsafe { context_switch(save, load) };
    finish_switch();
}

/// The processor goes from one thread to another; without one it idles.
fn account(from: Option<&Ref<Thread>>, to: Option<&Ref<Thread>>) {
    let now = time::now();
    if let Some(from) = from {
        let ran = from.ran.end(now);
        if from.is_ended() {
            from.process.ended_ran.fetch_add(ran, Ordering::Relaxed);
        }
    }
    if let Some(to) = to {
        to.ran.begin(now);
    }
}

/// The first thing on another stack, also a new thread's: drops the thread that ended on the old one.
#[inline(always)]
pub fn finish_switch() {
    let ended = queue(this_cpu()).previous.take();
    drop(ended);
}

/// Leaves the running thread, which is over, for ever. The caller holds nothing.
pub fn leave() -> ! {
    schedule();
    unreachable!("a thread that ended was run again");
}

/// Lets other threads run, if they should. `false`: the running thread is to end, as soon as its callers have
/// let go of what they hold: its stack is never unwound.
#[must_use]
#[cold]
pub fn give_way() -> bool {
    loop {
        if with_current(|me| me.process.is_ending()) {
            return false;
        }
        if !queue(this_cpu()).reschedule.load(Ordering::SeqCst) {
            return true;
        }
        schedule();
    }
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
    with_current(|me| {
        let asked = me.process.uses_fpu.load(Ordering::Relaxed);
        if asked {
            fpu::switch_to(&me.fpu, true);
        }
        asked
    })
}

/// Arms the timer for the scheduler's own sake or for `deadline_tsc`, whichever is first, unless it is so
/// armed already.
#[inline]
pub fn arm_timer(cpu: &PerCpu, deadline_tsc: u64) {
    let want = deadline_tsc.min(queue(cpu).next_wake.get());
    if want != queue(cpu).armed_tsc.get() && want != u64::MAX {
        rearm_timer(cpu, want);
    }
}

#[cold]
fn rearm_timer(cpu: &PerCpu, tsc: u64) {
    queue(cpu).armed_tsc.set(tsc);
    cpu.entry.ready.forget();
    local_apic::arm_timer(tsc);
}

/// The timer's interrupt: wakes who has slept long enough.
pub fn timer_fired() {
    let cpu = this_cpu();
    queue(cpu).armed_tsc.set(u64::MAX);
    cpu.entry.ready.forget();
    let now = time::now();
    if queue(cpu).next_wake.get() > now {
        arm_timer(cpu, u64::MAX);
        return;
    }
    let mut sleepers = queue(cpu).sleepers.borrow_mut();
    while let Some(thread) = sleepers.take_due(now) {
        wake(&thread);
    }
    queue(cpu).next_wake.set(sleepers.next_tsc());
    // Who was woken has asked for a turn. Without anybody it is the end of a quantum.
    if !wants_turn(cpu) && queue(cpu).any_ready() {
        queue(cpu).reschedule.store(true, Ordering::SeqCst);
    }
    arm_timer(cpu, u64::MAX);
}

/// The kick's interrupt. What it is for is in `reschedule` or in a vCPU's pending work.
pub fn kicked() {}

/// A processor with nothing to do.
pub fn idle() -> ! {
    loop {
        schedule();
        if !queue(this_cpu()).reschedule.load(Ordering::SeqCst) {
            masking::wait();
        }
    }
}
