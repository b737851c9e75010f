//! Channels: how one process calls another.
//!
//! A server's threads receive at an [`Endpoint`]; who holds a [`Channel`] to it calls. A caller's message,
//! and then the reply, lie in the caller's thread ([`Exchange`](crate::task::exchange::Exchange)); the two
//! copy in and out, each in its own address space.
//!
//! Locks are taken in the order endpoint, exchange, scheduler; never two endpoints' or two exchanges'. What a
//! receiver gets is put into its exchange under the endpoint's lock, when it is taken out of the receivers:
//! so one that is not there any more knows that it was given something.

mod core;
mod notifications;
mod receive;

use vcpu_abi::message::{MESSAGE_HANDLES, Message};
use vcpu_abi::operation::Handle;
use vcpu_abi::status::Status;

use self::core::{Core, Party};
use crate::cpu::this_cpu_number;
use crate::memory::user_copy;
use crate::object::pool::{Pool, Ref};
use crate::sync::SpinLock;
use crate::task::exchange::{Received, Served, has_handles};
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
}

/// What a client calls by.
pub struct Channel {
    endpoint: Ref<Endpoint>,
    key: u64,
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
    pub fn try_new() -> Result<Ref<Self>, Status> {
        ENDPOINTS.try_insert(|_| Ok(Self { core: SpinLock::new(Core::new()) }))
    }

    /// By what an exchange knows it.
    fn address(&self) -> usize {
        &raw const *self as usize
    }
}

impl Channel {
    /// A channel to an endpoint.
    pub fn try_new(endpoint: Ref<Endpoint>, key: u64) -> Result<Ref<Self>, Status> {
        CHANNELS.try_insert(|_| Ok(Self { endpoint, key }))
    }

    /// Calls with the message at `address`, waits for the reply, and writes it there.
    pub fn call(&self, address: u64) -> Result<(), Status> {
        let me = scheduler::current();
        let mut message: Message = user_copy::read_value(address)?;
        let deadline_tsc = message.deadline_tsc;
        let passed = match has_handles(&message.handles) {
            true => Some(Passed::from(&me.process, &message.handles)?),
            false => None,
        };
        (message.key, message.deadline_tsc) = (self.key, 0);
        if deadline_tsc == 0 {
            return Err(Status::TimedOut);
        }
        let number = me.exchange.lock().call.begin(self.endpoint.address(), message, passed);
        match self.send(&me, number) {
            Ok(Some(receiver)) if receiver.cpu == me.cpu && receiver.unblock() => {
                scheduler::block_for(receiver, deadline_tsc);
            }
            Ok(receiver) => {
                if let Some(receiver) = receiver {
                    scheduler::wake(&receiver);
                }
                scheduler::block(deadline_tsc);
            }
            Err(status) => {
                let passed = me.exchange.lock().call.abandon();
                drop(passed);
                return Err(status);
            }
        }
        self.finish(&me, address)
    }

    /// Gives the call to a receiver, which is returned, or leaves it in the queue. The caller is about to
    /// block then.
    fn send(&self, me: &Ref<Thread>, number: u64) -> Result<Option<Ref<Thread>>, Status> {
        let receiver = {
            let mut core = self.endpoint.core.lock();
            let receiver = core.call(me)?;
            me.prepare_to_block();
            if let Some(receiver) = &receiver {
                let served = Served { caller: me.clone(), number, at: self.endpoint.address() };
                receiver.exchange.lock().received = Received::Call(served);
                scheduler::set_priority(receiver, me.priority());
            }
            receiver
        };
        if receiver.is_none() {
            raise_servers(self.endpoint.address(), me.priority(), RAISED_MAX);
        }
        Ok(receiver)
    }

    /// What came of the call.
    fn finish(&self, me: &Ref<Thread>, address: u64) -> Result<(), Status> {
        let (status, mut message, passed) = {
            let mut exchange = me.exchange.lock();
            let status = exchange.call.close();
            (status, exchange.call.message, exchange.call.passed.take())
        };
        if status == Status::TimedOut {
            self.endpoint.core.lock().leave_callers(me);
        }
        status.into_result()?;
        if let Some(passed) = passed {
            message.handles = give(me, passed)?;
        }
        user_copy::write_value(address, &message)
    }
}

/// Gives a thread's process what was passed to it. The handles are returned.
#[cold]
fn give(me: &Ref<Thread>, mut passed: Passed) -> Result<[Handle; MESSAGE_HANDLES], Status> {
    passed.give(&mut me.process.handles.lock())
}

/// A caller waits in the queue of an endpoint: whoever serves there is to be as urgent as it, and so is whom
/// that one waits for.
#[cold]
fn raise_servers(endpoint: usize, priority: u8, depth: usize) {
    for server in thread::all().filter(|server| server.priority() < priority) {
        let (serves, calls) = {
            let exchange = server.exchange.lock();
            (exchange.serves_at(endpoint), exchange.call.at)
        };
        if !serves {
            continue;
        }
        scheduler::set_priority(&server, priority);
        if calls != 0 && depth > 0 {
            raise_servers(calls, priority, depth - 1);
        }
    }
}

/// A thread ends: who waits for its reply gets none.
pub fn thread_ends(me: &Thread) {
    let served = me.exchange.lock().take_served();
    if let Some(served) = served {
        fail(&served, Status::Disconnected);
    }
}

/// A process has ended, by its serial number: who waits at its endpoints is told.
pub fn process_ended(process: u64) {
    for endpoint in ENDPOINTS.iter() {
        if !endpoint.core.lock().close(process) {
            continue;
        }
        while let Some(caller) = { endpoint.core.lock().take_stranded() } {
            let failed = {
                let call = &mut caller.exchange.lock().call;
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
    let failed = served.caller.exchange.lock().call.fail(served.number, status);
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
                receiver.exchange.lock().received = Received::Notification(key);
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
