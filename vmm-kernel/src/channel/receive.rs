//! The server's side: replies, and what is received.
#![allow(unsafe_code, reason = "what the running thread was given")]

use ::core::sync::atomic::Ordering;

use vcpu_abi::message::{Message, received};
use vcpu_abi::status::Status;

use super::core::Next;
use super::transfer::Transfer;
use super::{Endpoint, fail, give};
use crate::cpu::{PerCpu, time};
use crate::memory::user_copy;
use crate::object::pool::Ref;
use crate::task::exchange::{Form, Received, Served};
use crate::task::passed::Passed;
use crate::task::scheduler;
use crate::task::thread::Thread;

impl Endpoint {
    /// Ends the call that the running thread serves: by a message if it is a `reply`. Then waits for what
    /// comes next, and gives it to the thread. Returns what it is, of `received`.
    #[inline(always)]
    pub fn receive(
        &self,
        cpu: &PerCpu,
        me: &Thread,
        mut transfer: impl Transfer,
        reply: bool,
    ) -> Result<u64, Status> {
        let mut deadline_tsc = u64::MAX;
        if !reply || !self.reply_near(cpu, me, &transfer)? {
            deadline_tsc = self.receive_far(me, transfer.message()?, reply)?;
        }
        loop {
            if let Some(what) = deliver(me, &mut transfer)? {
                return Ok(what);
            }
            if let Some(key) = self.wait_on(me, deadline_tsc)? {
                return notify(key, transfer.address());
            }
        }
    }

    /// The ordinary reply: to a caller that waits on this processor, without handles, where nothing else is
    /// to be received and the server waits for ever. The caller gets the processor, and this comes back when
    /// the server was given something, or was woken. `false`: it is not that, and nothing was done; or only
    /// the reply was.
    ///
    /// # Errors
    /// BadPointer: the message can't be read, and nothing was done.
    #[inline(always)]
    fn reply_near(&self, cpu: &PerCpu, me: &Thread, transfer: &impl Transfer) -> Result<bool, Status> {
        let mut core = self.core.lock();
        if !core.is_quiet(me.process.serial) {
            return Ok(false);
        }
        // SAFETY: this is the running thread.
        let Some(served) = (unsafe { me.served() }) else { return Ok(false) };
        if !reply_to(cpu, served, transfer)? {
            return Ok(false);
        }
        me.serves_at.store(0, Ordering::Relaxed);
        let Received::Call(served) = me.received.take() else { return Ok(false) };
        me.prepare_to_block();
        if me.process.is_ending() && me.unblock() {
            drop(core);
            // The reply has taken it out of its wait, and no queue has it yet.
            scheduler::enqueue(&served.caller);
            return Ok(false);
        }
        if me.priority() != served.caller.priority() {
            scheduler::look_for_third(cpu);
        }
        core.wait(scheduler::take_current(cpu));
        drop(core);
        scheduler::hand_over(cpu, me, served.caller);
        Ok(true)
    }

    /// Any other reply, and the first wait. Returns the deadline.
    #[cold]
    fn receive_far(
        &self,
        me: &Thread,
        (mut message, form): (Message, Form),
        reply: bool,
    ) -> Result<u64, Status> {
        if !self.core.lock().may_serve(me.process.serial) {
            return Err(Status::WrongState);
        }
        // A refused reply leaves the call as it is.
        let passed = match reply {
            true => Passed::of(&me.process, &message.handles)?,
            false => None,
        };
        let deadline_tsc = message.deadline_tsc;
        // Neither means anything in a reply: the caller gets zeros, not what the server's memory had there.
        (message.key, message.deadline_tsc) = (0, 0);
        if let Some(served) = me.stop_serving() {
            if !reply {
                fail(&served, Status::Disconnected);
            } else if let Some(caller) = send_reply(served, (message, form), passed) {
                scheduler::wake(&caller);
            }
        }
        if !self.take_next(deadline_tsc)? {
            scheduler::block(deadline_tsc);
        }
        Ok(deadline_tsc)
    }

    /// The running thread was woken, and has no call. Returns the key of the notification that it was given,
    /// if it is that; else waits on, or for the next thing.
    ///
    /// # Errors
    /// TimedOut: there is no more time.
    #[cold]
    fn wait_on(&self, me: &Thread, deadline_tsc: u64) -> Result<Option<u64>, Status> {
        let is_receiver = {
            let mut core = self.core.lock();
            // Who gives it something does so under the lock, and takes it out of the receivers.
            match me.received.take() {
                Received::Nothing => {}
                Received::Notification(key) => return Ok(Some(key)),
                call => {
                    me.received.set(call);
                    return Ok(None);
                }
            }
            let is_receiver = core.is_receiver(me);
            if is_receiver && (me.process.is_ending() || time::now() >= deadline_tsc) {
                core.leave_receivers(me);
                scheduler::set_priority(me, me.own_priority);
                return Err(Status::TimedOut);
            }
            if is_receiver {
                me.prepare_to_block();
            }
            is_receiver
        };
        if is_receiver || !self.take_next(deadline_tsc)? {
            scheduler::block(deadline_tsc);
        }
        Ok(None)
    }

    /// Gives the running thread what waits here. `false`: nothing does, and it is a receiver now, about to
    /// block.
    fn take_next(&self, deadline_tsc: u64) -> Result<bool, Status> {
        let me = scheduler::current();
        let mut core = self.core.lock();
        loop {
            let next = core.receive(&me, me.process.serial, deadline_tsc != 0);
            // One that nobody but a caller or an event wakes gets its priority from that.
            if next.is_err() || deadline_tsc != u64::MAX {
                scheduler::set_priority(&me, me.own_priority);
            }
            match next? {
                Next::Wait => {
                    me.prepare_to_block();
                    return Ok(false);
                }
                Next::Notification(key) => {
                    scheduler::set_priority(&me, me.own_priority);
                    me.received.set(Received::Notification(key));
                    return Ok(true);
                }
                Next::Call(caller) => {
                    // One whose deadline has passed is about to leave the queue.
                    let Some(number) = ({ caller.call.lock().open() }) else { continue };
                    scheduler::set_priority(&me, caller.priority());
                    me.serve(Served { caller, number }, self.address());
                    return Ok(true);
                }
            }
        }
    }
}

/// Puts the reply to a call in place, and takes its caller, which is about to go on, out of its wait.
/// `false`: it is not the [ordinary](Endpoint::reply_near) one.
#[inline(always)]
fn reply_to(cpu: &PerCpu, served: &Served<Thread>, transfer: &impl Transfer) -> Result<bool, Status> {
    if served.caller.cpu != cpu.number {
        return Ok(false);
    }
    let call = &mut *served.caller.call.lock();
    if call.open() != Some(served.number) || call.passed.is_some() {
        return Ok(false);
    }
    // The call's message was received before, and is not needed any more.
    let (deadline_tsc, has_handles) = transfer.send(call)?;
    // A caller that is woken already is about to find that its time has passed.
    if has_handles || deadline_tsc != u64::MAX || !served.caller.unblock() {
        return Ok(false);
    }
    call.message.key = 0;
    call.replied();
    Ok(true)
}

#[cold]
fn notify(key: u64, address: u64) -> Result<u64, Status> {
    user_copy::write_value(address, &Message { key, ..Message::default() })?;
    Ok(received::NOTIFICATION)
}

/// Gives the running thread the message of the call that it was given, which it serves from then on. `None`:
/// it was given none, or one that is over, or was refused.
#[inline(always)]
fn deliver(me: &Thread, transfer: &mut impl Transfer) -> Result<Option<u64>, Status> {
    // SAFETY: this is the running thread.
    let Some(served) = (unsafe { me.served() }) else { return Ok(None) };
    let call = served.caller.call.lock();
    // The caller may have given up since, and have begun another call.
    if call.open() != Some(served.number) || call.passed.is_some() {
        drop(call);
        return deliver_rare(me, transfer.address());
    }
    let form = transfer.receive(&call);
    drop(call);
    form.map(|form| Some(form as u64))
}

/// The same of a call that has handles, or is over.
#[cold]
fn deliver_rare(me: &Thread, address: u64) -> Result<Option<u64>, Status> {
    let Some(served) = me.stop_serving() else { return Ok(None) };
    let taken = {
        let mut call = served.caller.call.lock();
        (call.open() == Some(served.number)).then(|| (call.message, call.passed.take(), call.at))
    };
    let Some((mut message, Some(passed), at)) = taken else { return Ok(None) };
    match give(me, passed) {
        Ok(handles) => message.handles = handles,
        // The server has no room for the handles: its caller is told, and it has seen nothing of the call.
        Err(status) => {
            fail(&served, status);
            return Ok(None);
        }
    }
    me.serve(served, at);
    user_copy::write_value(address, &message)?;
    Ok(Some(received::CALL))
}

/// Replies to a call. Returns its caller, unless the call is over.
fn send_reply(
    served: Served<Thread>,
    message: (Message, Form),
    mut passed: Option<Passed>,
) -> Option<Ref<Thread>> {
    let open = served.caller.call.lock().reply(served.number, message, &mut passed);
    // Handles that nobody gets are dropped outside of the lock.
    drop(passed);
    open.then_some(served.caller)
}
