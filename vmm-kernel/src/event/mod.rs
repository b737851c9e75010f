//! Events: a signal that one wait takes, or that reaches a vCPU as pending work.
//!
//! A signal is handed to the thread that waits, not left for it to find: by the time that it runs, another
//! wait or a binding may have come. A waiter knows that it was handed the signal by no longer being the
//! event's waiter.

use vcpu_abi::status::Status;

use crate::guest::vcpu::Vcpu;
use crate::object::pool::{Pool, Ref};
use crate::sync::SpinLock;
use crate::task::scheduler;
use crate::task::thread::Thread;

pub mod host_lines;

/// The most events there are.
const EVENTS_MAX: usize = 128;
static EVENTS: Pool<Event, EVENTS_MAX> = Pool::new();

/// An event.
pub struct Event {
    state: SpinLock<State>,
}

struct State {
    signalled: bool,
    waiter: Option<Ref<Thread>>,
    binding: Option<(Ref<Vcpu>, u32)>,
}

impl Event {
    /// A new event, not signalled.
    pub fn try_new() -> Result<Ref<Self>, Status> {
        EVENTS.try_insert(|_| {
            Ok(Self { state: SpinLock::new(State { signalled: false, waiter: None, binding: None }) })
        })
    }

    /// Signals it.
    pub fn signal(&self) {
        let (waiter, binding) = {
            let mut state = self.state.lock();
            let (waiter, binding) = (state.waiter.take(), state.binding.clone());
            if waiter.is_none() && binding.is_none() {
                state.signalled = true;
            }
            (waiter, binding)
        };
        if let Some((vcpu, work)) = binding {
            vcpu.kick(work);
        }
        if let Some(thread) = waiter {
            scheduler::wake(&thread);
        }
    }

    /// Turns signals into pending work of a vCPU.
    pub fn bind(&self, vcpu: Ref<Vcpu>, work: u32) -> Result<(), Status> {
        let mut state = self.state.lock();
        if state.waiter.is_some() {
            return Err(Status::WrongState);
        }
        let pending = core::mem::take(&mut state.signalled);
        let before = state.binding.replace((vcpu.clone(), work));
        drop(state);
        // It may be the last reference to a vCPU and its VM, which take a while to go.
        drop(before);
        if pending {
            vcpu.kick(work);
        }
        Ok(())
    }

    /// Waits for the signal and takes it. One waiter at a time.
    pub fn wait(&self, deadline_tsc: u64) -> Result<(), Status> {
        let me = scheduler::current();
        {
            let mut state = self.state.lock();
            if core::mem::take(&mut state.signalled) {
                return Ok(());
            }
            if deadline_tsc == 0 {
                return Err(Status::TimedOut);
            }
            if state.waiter.is_some() || state.binding.is_some() {
                return Err(Status::WrongState);
            }
            state.waiter = Some(me.clone());
            me.prepare_to_block();
        }
        scheduler::block(deadline_tsc);
        let mut state = self.state.lock();
        if state.waiter.as_ref().is_some_and(|t| t.same(&me)) {
            state.waiter = None;
            return Err(Status::TimedOut);
        }
        Ok(())
    }
}
