//! Channels: how one process calls another.
//!
//! A server's threads receive at an [`Endpoint`]; who holds a [`Channel`] to it calls. A caller's message,
//! and then the reply, lie in the caller's thread ([`Call`](crate::task::exchange::Call)); the two copy in
//! and out, each in its own address space, or registers to registers.
//!
//! Locks are taken in the order endpoint, call, scheduler; never two endpoints' or two calls'. What a
//! receiver gets is put into its thread under the endpoint's lock, when it is taken out of the receivers: so
//! one that is not there any more knows that it was given something.
//!
//! Where a server waits on the caller's processor, a call and its reply count no references and see no queue:
//! the reference by which the processor keeps its thread goes to where that will wait, and back.

pub(crate) mod core;
mod names;
mod notifications;
mod receive;
mod transfer;

use vcpu_abi::message::MESSAGE_HANDLES;
use vcpu_abi::operation::Handle;
use vcpu_abi::status::Status;

use self::core::{Core, Party};
pub use self::names::{Names, channel, endpoint};
use self::transfer::Transfer;
pub use self::transfer::{InMemory, InRegisters, Registers};
use crate::cpu::{PerCpu, this_cpu_number, time};
use crate::memory::user_copy;
use crate::object::budget::{Account, Charge, Kind};
use crate::object::pool::{Pool, Ref};
use crate::sync::SpinLock;
use crate::task::exchange::{Form, Received, Served};
use crate::task::passed::Passed;
use crate::task::scheduler;
use crate::task::thread::{self, Thread};

/// The most endpoints there are.
const ENDPOINTS_MAX: usize = 32;
static ENDPOINTS: Pool<Endpoint, ENDPOINTS_MAX> = Pool::new();
/// The most channels there are.
const CHANNELS_MAX: usize = 128;
static CHANNELS: Pool<Channel, CHANNELS_MAX> = Pool::new();
/// How many servers that wait for each other are made as urgent as who waits for the last of them.
const RAISED_MAX: usize = 8;

/// Where a server receives.
pub struct Endpoint {
    core: SpinLock<Core<Thread>>,
    _charge: Charge,
}

/// What a client calls by.
pub struct Channel {
    endpoint: Ref<Endpoint>,
    key: u64,
    _charge: Charge,
}

/// An event's place at an endpoint, until it is dropped.
pub struct Binding {
    endpoint: Ref<Endpoint>,
    place: usize,
}

impl Party for Thread {
    fn processor(&self) -> u32 {
        self.cpu
    }

    fn urgency(&self) -> u8 {
        self.priority()
    }
}

impl Endpoint {
    /// A new endpoint, which nobody serves yet.
    pub fn try_new(account: &Ref<Account>) -> Result<Ref<Self>, Status> {
        let charge = Charge::one(account, Kind::Objects)?;
        ENDPOINTS.try_insert(|_| Ok(Self { core: SpinLock::new(Core::new()), _charge: charge }))
    }

    /// By what an exchange knows it.
    fn address(&self) -> usize {
        &raw const *self as usize
    }
}

impl Channel {
    /// A channel to an endpoint.
    pub fn try_new(endpoint: Ref<Endpoint>, key: u64, account: &Ref<Account>) -> Result<Ref<Self>, Status> {
        let charge = Charge::one(account, Kind::Objects)?;
        CHANNELS.try_insert(|_| Ok(Self { endpoint, key, _charge: charge }))
    }

    /// Calls with a message, waits for the reply, and gives it to the running thread, whose all this is.
    /// Returns the reply's form.
    #[inline(always)]
    pub fn call(&self, cpu: &PerCpu, me: &Thread, mut transfer: impl Transfer) -> Result<Form, Status> {
        let (number, deadline_tsc) = self.begin(me, &transfer)?;
        if !self.call_near(cpu, me, number, deadline_tsc) {
            self.call_far(number, deadline_tsc)?;
        }
        let mut call = me.call.lock();
        // Woken without a reply: its time is over, or it was woken for nothing and waits on.
        if call.open().is_some() {
            drop(call);
            wait_on(me, deadline_tsc);
            call = me.call.lock();
        }
        // A reply that comes later finds the call over, and is dropped.
        let status = call.close();
        if status != Status::Ok || call.passed.is_some() {
            drop(call);
            return self.finish_rare(me, transfer.address(), status);
        }
        transfer.receive(&call)
    }

    /// Copies the message in. Returns the call's number and its deadline.
    #[inline(always)]
    fn begin(&self, me: &Thread, transfer: &impl Transfer) -> Result<(u64, u64), Status> {
        let mut call = me.call.lock();
        let (deadline_tsc, has_handles) = transfer.send(&mut call)?;
        if has_handles || deadline_tsc == 0 {
            drop(call);
            prepare_rare(me, has_handles, deadline_tsc)?;
            call = me.call.lock();
        }
        // Whatever the caller has there: by its key a server knows whom it serves, so no caller may choose
        // it.
        call.message.key = self.key;
        Ok((call.begin(self.endpoint.address()), deadline_tsc))
    }

    /// Gives the call to a receiver that waits on this processor, and the processor with it. `false`: none
    /// does.
    #[inline(always)]
    fn call_near(&self, cpu: &PerCpu, me: &Thread, number: u64, deadline_tsc: u64) -> bool {
        let mut core = self.endpoint.core.lock();
        let Some(receiver) = core.take_near(cpu.number) else { return false };
        // One that is not blocked any more (its deadline has passed) is in its processor's queue.
        let is_handed_over = receiver.unblock();
        me.prepare_to_block();
        scheduler::set_priority(&receiver, me.priority());
        // A thread whose process ends must not wait: the way without a hand-over looks at that when it
        // blocks.
        if !is_handed_over || me.process.is_ending() {
            self.give(&receiver, scheduler::current(), number);
            drop(core);
            stay(&receiver, is_handed_over, deadline_tsc);
            return true;
        }
        scheduler::set_alarm(cpu, me, deadline_tsc);
        self.give(&receiver, scheduler::take_current(cpu), number);
        drop(core);
        scheduler::hand_over(cpu, me, receiver);
        scheduler::stop_alarm(me);
        true
    }

    /// Gives a receiver a call, under the endpoint's lock.
    #[inline(always)]
    fn give(&self, receiver: &Thread, caller: Ref<Thread>, number: u64) {
        receiver.serve(Served { caller, number }, self.endpoint.address());
    }

    /// Gives the call to a receiver of any processor, or leaves it in the queue, and waits.
    #[cold]
    fn call_far(&self, number: u64, deadline_tsc: u64) -> Result<(), Status> {
        let me = scheduler::current();
        let receiver = {
            let mut core = self.endpoint.core.lock();
            let called = core.call(&me);
            if let Ok(receiver) = &called {
                // Before the lock is let go: a server on another processor may reply at once, and has to find
                // a thread that it can wake.
                me.prepare_to_block();
                if let Some(receiver) = receiver {
                    self.give(receiver, me.clone(), number);
                    scheduler::set_priority(receiver, me.priority());
                }
            }
            called
        };
        match receiver {
            Ok(Some(receiver)) => scheduler::wake(&receiver),
            Ok(None) => raise_servers(self.endpoint.address(), me.priority(), RAISED_MAX),
            Err(status) => {
                let passed = me.call.lock().abandon();
                drop(passed);
                return Err(status);
            }
        }
        scheduler::block(deadline_tsc);
        Ok(())
    }

    /// What came of a call that has failed, or whose reply has handles.
    #[cold]
    fn finish_rare(&self, me: &Thread, address: u64, status: Status) -> Result<Form, Status> {
        // It may be queued still, and no server should get a call for which nobody waits.
        if status == Status::TimedOut {
            self.endpoint.core.lock().leave_callers(me);
        }
        let (passed, mut message) = {
            let mut call = me.call.lock();
            (call.passed.take(), call.full())
        };
        status.into_result()?;
        if let Some(passed) = passed {
            message.handles = give(me, passed)?;
        }
        user_copy::write_value(address, &message)?;
        Ok(Form::Message)
    }
}

/// The running thread's call was given to a receiver, and it does not hand the processor over. That one was
/// blocked until now, or else is in a queue.
#[cold]
fn stay(receiver: &Ref<Thread>, was_blocked: bool, deadline_tsc: u64) {
    if was_blocked {
        scheduler::enqueue(receiver);
    }
    scheduler::block(deadline_tsc);
}

/// A call's message has handles, which the sender must have; or there is no time for it.
#[cold]
fn prepare_rare(me: &Thread, has_handles: bool, deadline_tsc: u64) -> Result<(), Status> {
    // A copy, so that the call is not locked while the process's table is.
    let handles = me.call.lock().message.handles;
    let passed = if has_handles { Passed::of(&me.process, &handles)? } else { None };
    if deadline_tsc == 0 {
        return Err(Status::TimedOut);
    }
    me.call.lock().passed = passed;
    Ok(())
}

/// The caller was woken, and its call is open: waits on, unless there is no more time.
#[cold]
fn wait_on(me: &Thread, deadline_tsc: u64) {
    while !me.process.is_ending() && time::now() < deadline_tsc {
        {
            let call = me.call.lock();
            if call.open().is_none() {
                return;
            }
            // Who ends the call does so under the lock, and wakes afterwards.
            me.prepare_to_block();
        }
        scheduler::block(deadline_tsc);
    }
}

/// Gives a thread's process what was passed to it. The handles are returned.
#[cold]
fn give(me: &Thread, mut passed: Passed) -> Result<[Handle; MESSAGE_HANDLES], Status> {
    passed.give(&mut me.process.handles.lock())
}

/// A caller waits in the queue of an endpoint: whoever serves there is to be as urgent as it, and so is whom
/// that one waits for.
#[cold]
fn raise_servers(endpoint: usize, priority: u8, depth: usize) {
    for server in thread::all().filter(|server| server.priority() < priority) {
        if !server.serves_at(endpoint) {
            continue;
        }
        scheduler::set_priority(&server, priority);
        let calls = server.call.lock().at;
        // Servers may wait for each other in a circle.
        if calls != 0 && depth > 0 {
            raise_servers(calls, priority, depth - 1);
        }
    }
}

/// A thread ends: who waits for its reply gets none.
pub fn thread_ends(me: &Thread) {
    names::clear(me);
    if let Some(served) = me.stop_serving() {
        fail(&served, Status::Disconnected);
    }
}

/// A process has ended, by its serial number: who waits at its endpoints is told.
pub fn process_ended(process: u64) {
    for endpoint in ENDPOINTS.iter() {
        // Closed first: behind that no caller can come to wait.
        if !endpoint.core.lock().close(process) {
            continue;
        }
        while let Some(caller) = { endpoint.core.lock().take_stranded() } {
            let failed = {
                let mut call = caller.call.lock();
                call.open().is_some_and(|number| call.fail(number, Status::Disconnected))
            };
            if failed {
                scheduler::wake(&caller);
            }
        }
    }
}

/// Ends a call that is served without a reply.
fn fail(served: &Served<Thread>, status: Status) {
    let failed = served.caller.call.lock().fail(served.number, status);
    if failed {
        scheduler::wake(&served.caller);
    }
}

impl Binding {
    /// A place for an event at an endpoint.
    pub fn try_new(endpoint: Ref<Endpoint>, key: u64) -> Result<Self, Status> {
        let place = endpoint.core.lock().notifications.bind(key).ok_or(Status::Exhausted)?;
        Ok(Self { endpoint, place })
    }

    /// The endpoint, and the place there.
    pub fn place(&self) -> (Ref<Endpoint>, usize) {
        (self.endpoint.clone(), self.place)
    }
}

impl Endpoint {
    /// The event that is bound at a place was signalled.
    pub fn signal(&self, place: usize) {
        let receiver = {
            let mut core = self.core.lock();
            let given = core.signal(place, this_cpu_number());
            given.map(|(receiver, key)| {
                receiver.received.set(Received::Notification(key));
                // An event lends no priority, and whoever lent one before has its reply.
                scheduler::set_priority(&receiver, receiver.own_priority);
                receiver
            })
        };
        if let Some(receiver) = receiver {
            scheduler::wake(&receiver);
        }
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        self.endpoint.core.lock().notifications.unbind(self.place);
    }
}
