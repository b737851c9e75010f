//! Events: a signal that one wait takes, or that reaches a vCPU as pending work or an endpoint as a
//! notification.
//!
//! A signal is handed to the thread that waits, not left for it to find: by the time that it runs, another
//! wait or a binding may have come. A waiter knows that it was handed the signal by no longer being the
//! event's waiter.

use vcpu_abi::status::Status;

use crate::channel::{Binding, Endpoint};
use crate::guest::vcpu::Vcpu;
use crate::object::budget::{Account, Charge, Kind};
use crate::object::pool::{Pool, Ref};
use crate::sync::SpinLock;
use crate::task::scheduler;
use crate::task::thread::Thread;

pub mod host_lines;
pub mod messages;

/// The most events there are.
const EVENTS_MAX: usize = 128;
static EVENTS: Pool<Event, EVENTS_MAX> = Pool::new();

/// An event.
pub struct Event {
    state: SpinLock<State>,
    _charge: Charge,
}

struct State {
    signalled: bool,
    waiter: Option<Ref<Thread>>,
    binding: Option<Bound>,
}

/// Where signals go instead of to a waiter.
enum Bound {
    /// To a vCPU, as pending work.
    Vcpu(Ref<Vcpu>, u32),
    /// To an endpoint, as a notification.
    Endpoint(Binding),
}

/// A copy of [`Bound`] that is used when the event is not locked any more.
enum Target {
    Vcpu(Ref<Vcpu>, u32),
    Endpoint(Ref<Endpoint>, usize),
}

impl Bound {
    fn target(&self) -> Target {
        match self {
            Self::Vcpu(vcpu, work) => Target::Vcpu(vcpu.clone(), *work),
            Self::Endpoint(binding) => {
                let (endpoint, place) = binding.place();
                Target::Endpoint(endpoint, place)
            }
        }
    }
}

impl Target {
    fn signal(&self) {
        match self {
            Self::Vcpu(vcpu, work) => vcpu.kick(*work),
            Self::Endpoint(endpoint, place) => endpoint.signal(*place),
        }
    }
}

impl Event {
    /// A new event, not signalled.
    pub fn try_new(account: &Ref<Account>) -> Result<Ref<Self>, Status> {
        let charge = Charge::one(account, Kind::Events)?;
        EVENTS.try_insert(|_| {
            let state = State { signalled: false, waiter: None, binding: None };
            Ok(Self { state: SpinLock::new(state), _charge: charge })
        })
    }

    /// Signals it.
    pub fn signal(&self) {
        let (waiter, binding) = {
            // Where nobody waits it is kept for who comes next, and once, however often it is signalled.
            let mut state = self.state.lock();
            let (waiter, binding) = (state.waiter.take(), state.binding.as_ref().map(Bound::target));
            if waiter.is_none() && binding.is_none() {
                state.signalled = true;
            }
            (waiter, binding)
        };
        // The event's lock is let go of first: what is told has locks of its own.
        if let Some(target) = binding {
            target.signal();
        }
        if let Some(thread) = waiter {
            scheduler::wake(&thread);
        }
    }

    /// Turns signals into pending work of a vCPU.
    pub fn bind(&self, vcpu: Ref<Vcpu>, work: u32) -> Result<(), Status> {
        self.bind_to(Bound::Vcpu(vcpu, work))
    }

    /// Turns signals into notifications at an endpoint.
    pub fn bind_endpoint(&self, binding: Binding) -> Result<(), Status> {
        self.bind_to(Bound::Endpoint(binding))
    }

    fn bind_to(&self, bound: Bound) -> Result<(), Status> {
        let target = bound.target();
        let mut state = self.state.lock();
        // Its signal would go to the binding from now on, and the waiter sleep for ever.
        if state.waiter.is_some() {
            return Err(Status::WrongState);
        }
        let pending = core::mem::take(&mut state.signalled);
        let before = state.binding.replace(bound);
        drop(state);
        // It may be the last reference to a vCPU and its VM, which take a while to go.
        drop(before);
        if pending {
            target.signal();
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
            // Before others are looked for: who only looks does not wait, and is not refused for one who
            // does.
            if deadline_tsc == 0 {
                return Err(Status::TimedOut);
            }
            if state.waiter.is_some() || state.binding.is_some() {
                return Err(Status::WrongState);
            }
            state.waiter = Some(me.clone());
            // Under the lock: a signal behind it finds the waiter, and finds it blocked.
            me.prepare_to_block();
        }
        scheduler::block(deadline_tsc);
        let mut state = self.state.lock();
        // Who signals takes the waiter out. One that is still there was woken by its deadline, or by its
        // process's end.
        if state.waiter.as_ref().is_some_and(|t| t.same(&me)) {
            state.waiter = None;
            return Err(Status::TimedOut);
        }
        Ok(())
    }
}
