//! The server's side: replies, and what is received.

use vcpu_abi::message::{Message, received};
use vcpu_abi::status::Status;

use super::core::Next;
use super::{Endpoint, fail, give};
use crate::memory::user_copy;
use crate::object::pool::Ref;
use crate::task::exchange::{Received, Served, has_handles};
use crate::task::passed::Passed;
use crate::task::scheduler;
use crate::task::thread::Thread;

impl Endpoint {
    /// Ends the call that the running thread serves: by the message at `address` if it is a `reply`. Then
    /// waits for what comes next, and writes it there. Returns what it is, of `received`.
    pub fn receive(&self, address: u64, reply: bool) -> Result<u64, Status> {
        let me = scheduler::current();
        let message: Message = user_copy::read_value(address)?;
        if !self.core.lock().may_serve(me.process.serial) {
            return Err(Status::WrongState);
        }
        let deadline_tsc = message.deadline_tsc;
        // A refused reply leaves the call as it is.
        let passed = match reply && has_handles(&message.handles) {
            true => Some(Passed::from(&me.process, &message.handles)?),
            false => None,
        };
        let served = me.exchange.lock().take_served();
        let mut replied = None;
        if let Some(served) = served {
            if reply {
                replied = send_reply(served, message, passed);
            } else {
                fail(&served, Status::Disconnected);
            }
        }
        loop {
            self.wait(&me, deadline_tsc, replied.take())?;
            let given = core::mem::replace(&mut me.exchange.lock().received, Received::Nothing);
            let done = match given {
                Received::Call(served) => deliver(&me, served, address)?.then_some(received::CALL),
                Received::Notification(key) => {
                    let message = Message { key, ..Message::default() };
                    user_copy::write_value(address, &message)?;
                    Some(received::NOTIFICATION)
                }
                Received::Nothing => return Err(Status::TimedOut),
            };
            if let Some(what) = done {
                return Ok(what);
            }
        }
    }

    /// Waits until the running thread was given something, or the deadline passes. `replied` is a caller
    /// whose reply is there: it goes on, at once if this thread waits.
    fn wait(&self, me: &Ref<Thread>, deadline_tsc: u64, replied: Option<Ref<Thread>>) -> Result<(), Status> {
        let taken = self.take_next(me, deadline_tsc);
        if taken != Ok(false) {
            wake(replied.as_ref());
            return taken.map(|_| ());
        }
        match replied {
            Some(caller) if caller.cpu == me.cpu && caller.unblock() => {
                scheduler::block_for(caller, deadline_tsc);
            }
            caller => {
                wake(caller.as_ref());
                scheduler::block(deadline_tsc);
            }
        }
        let given = !matches!(me.exchange.lock().received, Received::Nothing);
        // One that is no receiver any more was given something just now.
        if !given && self.core.lock().leave_receivers(me) {
            scheduler::set_priority(me, me.own_priority);
        }
        Ok(())
    }

    /// Gives the running thread what waits here. `false`: nothing does, and it is a receiver now, about to
    /// block.
    fn take_next(&self, me: &Ref<Thread>, deadline_tsc: u64) -> Result<bool, Status> {
        let mut core = self.core.lock();
        loop {
            let next = core.receive(me, me.process.serial, deadline_tsc != 0);
            // One that nobody but a caller or an event wakes gets its priority from that.
            if next.is_err() || deadline_tsc != u64::MAX {
                scheduler::set_priority(me, me.own_priority);
            }
            match next? {
                Next::Wait => {
                    me.prepare_to_block();
                    return Ok(false);
                }
                Next::Notification(key) => {
                    scheduler::set_priority(me, me.own_priority);
                    me.exchange.lock().received = Received::Notification(key);
                    return Ok(true);
                }
                Next::Call(caller) => {
                    // One whose deadline has passed is about to leave the queue.
                    let Some(number) = ({ caller.exchange.lock().call.open() }) else { continue };
                    scheduler::set_priority(me, caller.priority());
                    let served = Served { caller, number, at: self.address() };
                    me.exchange.lock().received = Received::Call(served);
                    return Ok(true);
                }
            }
        }
    }
}

fn wake(thread: Option<&Ref<Thread>>) {
    if let Some(thread) = thread {
        scheduler::wake(thread);
    }
}

/// Replies to a call. Returns its caller, unless the call is over.
fn send_reply(
    served: Served<Thread>,
    mut message: Message,
    mut passed: Option<Passed>,
) -> Option<Ref<Thread>> {
    (message.key, message.deadline_tsc) = (0, 0);
    let open = served.caller.exchange.lock().call.reply(served.number, message, &mut passed);
    // Handles that nobody gets are dropped outside of the lock.
    drop(passed);
    open.then_some(served.caller)
}

/// Hands a call over to the running thread, which serves it from then on. `false`: it is over, or was
/// refused.
fn deliver(me: &Ref<Thread>, served: Served<Thread>, address: u64) -> Result<bool, Status> {
    let taken = {
        let call = &mut served.caller.exchange.lock().call;
        (call.open() == Some(served.number)).then(|| (call.message, call.passed.take()))
    };
    let Some((mut message, passed)) = taken else { return Ok(false) };
    if let Some(passed) = passed {
        match give(me, passed) {
            Ok(handles) => message.handles = handles,
            Err(status) => {
                fail(&served, status);
                return Ok(false);
            }
        }
    }
    me.exchange.lock().received = Received::Call(served);
    user_copy::write_value(address, &message)?;
    Ok(true)
}
