//! An endpoint's state: who waits at it for whom. Knows of threads only what [`Party`] says, so that tests on
//! the host can be parties too.
//!
//! A receiver waits only while no caller and no notification does, and the other way round.

use vcpu_abi::status::Status;

use super::notifications::Notifications;
use crate::object::list::List;
use crate::object::pool::Ref;

/// The most threads that may wait at an endpoint at once to be received; there are 128. A new endpoint lies
/// on a kernel stack before it is where it stays, and no frame there may be over 1 KiB.
pub const CALLERS_MAX: usize = 120;
/// The most threads that may receive at once.
pub const RECEIVERS_MAX: usize = 64;

/// Who calls and receives.
pub trait Party: 'static {
    /// The processor that it stays on.
    fn processor(&self) -> u32;
    /// The more urgent, the greater.
    fn urgency(&self) -> u8;
}

/// Who serves an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    /// Nobody yet: callers wait.
    New,
    /// A process, by its serial number.
    By(u64),
    /// Nobody any more: callers are told.
    Closed,
}

/// What a receiver gets.
pub enum Next<T: 'static> {
    /// A call, of this caller.
    Call(Ref<T>),
    /// The notification with this key.
    Notification(u64),
    /// Nothing: it is a receiver that waits, now.
    Wait,
}

/// The state of an endpoint.
pub struct Core<T: Party> {
    service: Service,
    callers: List<T, CALLERS_MAX>,
    receivers: List<T, RECEIVERS_MAX>,
    /// The events that are bound to it.
    pub notifications: Notifications,
    /// The last thing received was a notification: callers come next, lest they never do.
    notified_last: bool,
}

impl<T: Party> Core<T> {
    /// Nobody serves it yet.
    pub const fn new() -> Self {
        Self {
            service: Service::New,
            callers: List::new(),
            receivers: List::new(),
            notifications: Notifications::new(),
            notified_last: false,
        }
    }

    /// Whether `process` may receive here: nobody serves it but itself.
    pub fn may_serve(&self, process: u64) -> bool {
        !matches!(self.service, Service::By(other) if other != process)
    }

    /// A thread of `process`, which may serve, receives. `may_wait`: it would rather wait than get nothing.
    ///
    /// # Errors
    /// TimedOut: there is nothing, and it does not want to wait. Exhausted: too many wait.
    pub fn receive(&mut self, me: &Ref<T>, process: u64, may_wait: bool) -> Result<Next<T>, Status> {
        // From the first time on, until the process ends: callers who wait rely on being told of its end.
        self.service = Service::By(process);
        // By turns, since either kind alone could go on for ever.
        if (!self.notified_last || self.callers.is_empty())
            && let Some(key) = self.notifications.take()
        {
            self.notified_last = true;
            return Ok(Next::Notification(key));
        }
        self.notified_last = false;
        if let Some(caller) = self.most_urgent_caller() {
            return Ok(Next::Call(caller));
        }
        if !may_wait {
            return Err(Status::TimedOut);
        }
        if self.receivers.push(me.clone()) { Ok(Next::Wait) } else { Err(Status::Exhausted) }
    }

    /// Takes the receiver that came last, if it is of this processor.
    #[inline(always)]
    pub fn take_near(&mut self, processor: u32) -> Option<Ref<T>> {
        if self.receivers.newest()?.processor() != processor {
            return None;
        }
        self.receivers.pop()
    }

    /// Whether a thread of `process` that receives here would have to wait, and could.
    #[inline(always)]
    pub fn is_quiet(&self, process: u64) -> bool {
        self.service == Service::By(process)
            && self.callers.is_empty()
            && self.notifications.is_empty()
            && self.receivers.has_room()
    }

    /// A receiver waits, where it is quiet.
    #[inline(always)]
    pub fn wait(&mut self, me: Ref<T>) {
        self.notified_last = false;
        // There is room, as was asked.
        let _ = self.receivers.push(me);
    }

    /// A thread calls. Returns the receiver that gets the call: one on the caller's own processor, if one
    /// waits there. Without one the caller waits.
    ///
    /// # Errors
    /// Disconnected: nobody serves it any more. Exhausted: too many wait.
    pub fn call(&mut self, me: &Ref<T>) -> Result<Option<Ref<T>>, Status> {
        // Those who wait when it is closed are told once. Who came later would wait for ever.
        if self.service == Service::Closed {
            return Err(Status::Disconnected);
        }
        let receiver = self.receiver_near(me.processor());
        if receiver.is_none() && !self.callers.push(me.clone()) {
            return Err(Status::Exhausted);
        }
        Ok(receiver)
    }

    /// An event that is bound here was signalled. Returns the receiver that gets the notification, and its
    /// key; without one the notification waits.
    pub fn signal(&mut self, place: usize, processor: u32) -> Option<(Ref<T>, u64)> {
        let key = self.notifications.key(place)?;
        let receiver = self.receiver_near(processor);
        if receiver.is_none() {
            self.notifications.set_pending(place);
        }
        Some((receiver?, key))
    }

    /// A caller does not wait any more. `false`: its call was received, or it did not wait.
    pub fn leave_callers(&mut self, me: &T) -> bool {
        self.callers.remove(me)
    }

    /// Whether a thread waits as a receiver: it was given nothing.
    pub fn is_receiver(&self, me: &T) -> bool {
        self.receivers.iter().any(|other| core::ptr::eq(&**other, me))
    }

    /// A receiver does not wait any more. `false`: it was given something.
    pub fn leave_receivers(&mut self, me: &T) -> bool {
        self.receivers.remove(me)
    }

    /// A process ends. Whether it served the endpoint: then nobody does, and all callers are to be told.
    pub fn close(&mut self, process: u64) -> bool {
        // Others may have handles to it: the end of a process that did not serve is nothing to its callers.
        let closes = self.service == Service::By(process);
        if closes {
            self.service = Service::Closed;
        }
        closes
    }

    /// A caller that is to be told that the endpoint was closed.
    pub fn take_stranded(&mut self) -> Option<Ref<T>> {
        if self.service == Service::Closed { self.callers.take(0) } else { None }
    }

    /// The one of this processor that came last; without one, whoever came first.
    fn receiver_near(&mut self, processor: u32) -> Option<Ref<T>> {
        // A receiver of this processor gets the processor together with the call; one of another takes an
        // interrupt.
        if let Some(newest) = self.take_near(processor) {
            return Some(newest);
        }
        let near = self.receivers.last(|receiver| receiver.processor() == processor);
        self.receivers.take(near.unwrap_or(0))
    }

    /// Of equally urgent ones, the one that came first.
    fn most_urgent_caller(&mut self) -> Option<Ref<T>> {
        // Looked for when it is wanted, not kept in order: a caller's priority may change while it waits.
        let urgencies = self.callers.iter().map(|caller| caller.urgency()).enumerate();
        let first = urgencies.reduce(|best, other| if other.1 > best.1 { other } else { best });
        self.callers.take(first?.0)
    }
}

#[cfg(test)]
mod tests;
