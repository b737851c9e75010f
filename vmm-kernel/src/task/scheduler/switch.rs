//! From one thread to another: stacks, address spaces, and what else belongs to a thread.

use core::arch::asm;
use core::sync::atomic::Ordering;

use super::super::thread::Thread;
use super::{plan_quantum, put_current, queue};
use crate::cpu::{PerCpu, fpu, per_cpu, speculation, this_cpu, time};
use crate::memory::graves;
use crate::object::pool::Ref;

/// Goes on on another stack, where this function was called last or a new thread begins. Comes back when
/// somebody goes on here.
///
/// # Safety
/// `load` was left by this function, or laid out by `thread::try_new`, and is used once.
#[inline(always)]
unsafe fn context_switch(save: *mut u64, load: u64) {
    // SAFETY: the caller's promise. All registers are lost or kept here.
    unsafe {
        // RBX and RBP cannot be named as lost. The others can, so only those that hold something are saved,
        // by the compiler.
        asm!(
            "push rbp",
            "push rbx",
            "lea rax, [rip + 2f]",
            "push rax",
            "mov [rdi], rsp",
            "mov rsp, rsi",
            "pop rax",
            "jmp rax",
            "2:",
            "pop rbx",
            "pop rbp",
            inout("rdi") save => _,
            inout("rsi") load => _,
            out("r12") _,
            out("r13") _,
            out("r14") _,
            out("r15") _,
            clobber_abi("C"),
        );
    }
}

/// Blocks the running thread and runs another of this processor's in its place, which was blocked and which
/// the caller has [unblocked](Thread::unblock): no queue sees it. The other one goes on with what the running
/// thread had left of its turn, and a vCPU that the running thread may enter at once stays so. Comes back
/// when the running thread has its turn again.
///
/// The running thread has called [`take_current`](super::take_current), and who is to wake it has what that
/// gave.
#[inline(always)]
pub fn hand_over(cpu: &PerCpu, me: &Thread, next: Ref<Thread>) {
    let load = enter(cpu, &next);
    let now = time::now();
    me.ran.end(now);
    next.ran.begin(now);
    queue(cpu).running.set(&raw const *next);
    put_current(cpu, next);
    // SAFETY: as in `switch`; the running thread is referred to by what it waits for.
    unsafe { context_switch(me.saved_stack.as_ptr(), load) };
    finish_switch();
}

/// Some third thread may come before the one to which the processor is about to be handed: that one looks.
#[cold]
pub fn look_for_third(cpu: &PerCpu) {
    queue(cpu).reschedule.store(true, Ordering::SeqCst);
    cpu.entry.ready.forget();
}

/// Makes the processor a thread's but for its stack pointer, which is returned. It is about to be `current`.
#[inline(always)]
fn enter(cpu: &PerCpu, thread: &Thread) -> u64 {
    // SAFETY: the stack is the thread's; so is, by its process, the address space, and `current` keeps both
    // until another thread's is loaded, or the kernel's own.
    let is_other = unsafe {
        per_cpu::set_kernel_stack(cpu, thread.stack_top);
        crate::memory::loaded::load(cpu, thread.process.space.root())
    };
    // Threads of one process see the same memory and have nothing to hide from each other.
    if is_other {
        speculation::forget_branches();
    }
    fpu::switch_to(cpu, &thread.fpu, thread.process.uses_fpu.load(Ordering::Relaxed));
    thread.saved_stack.get()
}

/// The scheduler's own change of threads; either may be the processor's idling.
pub(super) fn switch(cpu: &PerCpu, from: Option<Ref<Thread>>, to: Option<Ref<Thread>>) {
    let save = match &from {
        Some(thread) => thread.saved_stack.as_ptr(),
        None => queue(cpu).idle_stack.as_ptr(),
    };
    let load = match &to {
        Some(thread) => enter(cpu, thread),
        // Not the last thread's tables: its process may end while this processor idles, and they are given
        // back then.
        None => {
            // SAFETY: the kernel's own tables stay.
            unsafe { crate::memory::loaded::load(cpu, crate::image::kernel_root()) };
            queue(cpu).idle_stack.get()
        }
    };
    account(from.as_ref(), to.as_ref());
    queue(cpu).running.set(to.as_ref().map_or(core::ptr::null(), |thread| &raw const **thread));
    queue(cpu).current.set(to);
    // The old thread's reference outlives its stack by this.
    let ended = from.filter(|t| t.is_ended());
    if ended.is_some() {
        queue(cpu).previous.set(ended);
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
        // A thread's own count goes with the thread.
        if from.is_ended() {
            from.process.ended_ran.fetch_add(ran, Ordering::Relaxed);
            from.process.account.thread_ended(ran);
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
    if ended.is_some() {
        forget_ended(ended);
    }
}

/// The thread may have been the last that held its process, whose tables are given back before this processor
/// goes back to a user.
#[cold]
fn forget_ended(ended: Option<Ref<Thread>>) {
    drop(ended);
    if graves::any() {
        queue(this_cpu()).reschedule.store(true, Ordering::SeqCst);
        this_cpu().entry.ready.forget();
    }
}
