//! The vCPU a thread ran last, found by its handle: it saves the look-up at the next run.
#![allow(unsafe_code, reason = "what the running thread alone touches, in the room that each thread has")]

use super::vcpu::Vcpu;
use crate::task::last_named::LastNamed;
use crate::task::thread::Thread;

/// The vCPU a thread ran last.
pub type RunCache = LastNamed<Vcpu>;

/// That of a thread: the running one.
#[inline(always)]
pub fn of(thread: &Thread) -> &RunCache {
    // SAFETY: each thread is made with one, by `life::add_thread`.
    unsafe { thread.above.0.get() }
}
