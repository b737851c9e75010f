//! The processor's timer, and the threads that it wakes.

use core::sync::atomic::Ordering;

use super::super::alarm::Due;
use super::super::thread::Thread;
use super::{current, queue, runs_with_share, wake, wants_turn};
use crate::cpu::{PerCpu, local_apic, masking, this_cpu, time};
use crate::platform::backend;

/// Has the running thread, which is about to block, woken at the deadline. `u64::MAX`: at none.
#[inline(always)]
pub fn set_alarm(cpu: &PerCpu, me: &Thread, deadline_tsc: u64) {
    if me.alarm.set(deadline_tsc) {
        list_sleeper(cpu, me, deadline_tsc);
    }
}

/// The running thread has no place among the sleepers that is early enough.
#[cold]
fn list_sleeper(cpu: &PerCpu, me: &Thread, deadline_tsc: u64) {
    // It may be among them with a later time, and there is one place for each thread.
    forget_alarm(me);
    queue(cpu).sleepers.borrow_mut().add(deadline_tsc, current());
    me.alarm.list(deadline_tsc);
    queue(cpu).next_wake.set(queue(cpu).next_wake.get().min(deadline_tsc));
    // A timer that comes too early, for a vCPU's sake, is armed again then.
    if deadline_tsc < queue(cpu).armed_tsc.get() {
        arm_timer(cpu, u64::MAX);
    }
}

/// Takes back what [`set_alarm`] did, whether the deadline has come or not. The thread stays among the
/// sleepers until the time that it has there.
#[inline(always)]
pub fn stop_alarm(me: &Thread) {
    me.alarm.stop();
}

/// Takes the running thread from the sleepers.
pub fn forget_alarm(me: &Thread) {
    if me.alarm.is_listed() {
        queue(this_cpu()).sleepers.borrow_mut().remove(me);
        me.alarm.take(u64::MAX);
    }
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
    // It may be armed for later than the vCPU's own deadline now, which the next entry has to put right.
    cpu.entry.ready.forget();
    local_apic::arm_timer(tsc);
}

/// What the timer's interrupt does, where there is none.
#[inline]
pub fn look_at_time(cpu: &PerCpu) {
    if !backend::HAS_HOST_CLOCKS && queue(cpu).armed_tsc.get() <= time::now() {
        timer_fired();
    }
}

/// Waits for an interrupt, or looks at the time where it brings none.
pub(super) fn wait(cpu: &PerCpu) {
    // Nobody waits for a time: nothing will ever happen.
    if backend::HAS_HOST_CLOCKS || queue(cpu).armed_tsc.get() == u64::MAX {
        masking::wait();
    } else {
        core::hint::spin_loop();
        look_at_time(cpu);
    }
}

/// The timer's interrupt: wakes who has slept long enough.
pub fn timer_fired() {
    let cpu = this_cpu();
    // It counts once: whatever it came for, it is not armed now, and the next entry has to arm it for its own
    // deadline.
    queue(cpu).armed_tsc.set(u64::MAX);
    cpu.entry.ready.forget();
    let now = time::now();
    // It came for a vCPU's deadline, at which its run looks.
    if queue(cpu).next_wake.get() > now {
        arm_timer(cpu, u64::MAX);
        return;
    }
    let mut sleepers = queue(cpu).sleepers.borrow_mut();
    while let Some(thread) = sleepers.take_due(now) {
        match thread.alarm.take(now) {
            Due::Now => wake(&thread),
            Due::Later(tsc) => {
                thread.alarm.list(tsc);
                sleepers.add(tsc, thread);
            }
            Due::Never => {}
        }
    }
    queue(cpu).next_wake.set(sleepers.next_tsc());
    // Who was woken has asked for a turn. Without anybody it is the end of a quantum.
    if !wants_turn(cpu) && (queue(cpu).any_ready() || runs_with_share(cpu)) {
        queue(cpu).reschedule.store(true, Ordering::SeqCst);
    }
    arm_timer(cpu, u64::MAX);
}
