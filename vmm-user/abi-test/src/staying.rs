//! Who waits is woken by what it waits for alone: while a thread waits for an event, another for one until a
//! deadline that is far, others for a call to be received, for its reply, and for a call, everything else
//! happens that wakes somebody there. Each of them waits on, and gets what it waits for in the end.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use runtime::abi::message::Message;
use runtime::abi::status::Status;
use runtime::channel::{Channel, Endpoint, Received};
use runtime::event::Event;
use runtime::{process, syscall, thread};

use crate::child::Child;
use crate::suite::Suite;
use crate::waiters;

/// Of all threads, as of this process's first one.
const PRIORITY: u32 = 2;
/// How often everything else happens.
const ROUNDS: u32 = 40;
/// Microseconds of a deadline that is far, and of one that is near.
const FAR_US: u64 = 100_000_000;
const NEAR_US: u64 = 500;
/// Those who wait.
const NAMES: [&str; 5] =
    ["an event", "an event with a deadline", "a call to be received", "a reply", "a call"];
/// What a waiter has come to: nothing yet, or this and more.
const WAITS: u32 = 0;
const OK: u32 = 1;
const FAILED: u32 = 2;

type Outcomes = Arc<[AtomicU32; NAMES.len()]>;

/// What they wait for.
#[derive(Clone, Copy)]
struct Things {
    events: [Event; 2],
    /// Nobody receives at the first, the second's caller is served, at the third somebody receives.
    endpoints: [Endpoint; 3],
    channels: [Channel; 3],
    cpu: u32,
}

impl Things {
    fn try_new(cpu: u32) -> Result<Self, Status> {
        let endpoints = [Endpoint::try_new()?, Endpoint::try_new()?, Endpoint::try_new()?];
        let channel = |index: usize| endpoints.get(index).ok_or(Status::NotFound)?.channel(7);
        let channels = [channel(0)?, channel(1)?, channel(2)?];
        Ok(Self { events: [Event::try_new()?, Event::try_new()?], endpoints, channels, cpu })
    }

    fn close(self) -> Result<(), Status> {
        let handles = self.channels.map(|channel| channel.0);
        let more = self.endpoints.map(|endpoint| endpoint.0);
        let events = self.events.map(|event| event.0);
        handles.into_iter().chain(more).chain(events).try_for_each(process::close)
    }

    /// Starts the thread that waits for what has this index.
    fn start(self, outcomes: &Outcomes, index: usize, far: u64) -> Result<(), Status> {
        let outcomes = outcomes.clone();
        let Self {
            events: [event, timed], channels: [queued, served, _], endpoints: [_, _, endpoint], ..
        } = self;
        thread::spawn(self.cpu, PRIORITY, move || {
            let mut message = Message { deadline_tsc: u64::MAX, ..Message::default() };
            let came = match index {
                0 => waiters::wait_until(event, u64::MAX),
                1 => waiters::wait_until(timed, far),
                2 => queued.call(&mut message),
                3 => served.call(&mut message),
                _ => endpoint.receive(&mut message).and_then(|what| match what {
                    Received::Call => Ok(()),
                    Received::Notification => Err(Status::HostFault),
                }),
            };
            if let Some(outcome) = outcomes.get(index) {
                outcome.store(came.map_or(FAILED, |()| OK), Ordering::SeqCst);
            }
        })
    }
}

/// All of it, with those who wait on the first processor and on the last.
pub fn test(suite: &mut Suite<'_>) {
    for cpu in [0, suite.cpus - 1] {
        if let Err(status) = on(suite, cpu) {
            suite.check(false, format_args!("waiters on cpu{cpu}: {status:?}"));
        }
    }
}

fn on(suite: &mut Suite<'_>, cpu: u32) -> Result<(), Status> {
    let things = Things::try_new(cpu)?;
    let outcomes = Outcomes::default();
    let far = suite.in_us(FAR_US);
    (0..NAMES.len()).try_for_each(|index| things.start(&outcomes, index, far))?;
    things.events.into_iter().try_for_each(|event| waiters::until_waited_for(event, suite.ticks_us))?;
    let [_, served, _] = things.endpoints;
    // From here on this thread serves a call, so it may not receive anything else.
    let mut message = Message { deadline_tsc: far, ..Message::default() };
    served.receive(&mut message)?;
    for _ in 0..ROUNDS {
        everything_else(suite, things)?;
    }
    let states = || outcomes.each_ref().map(|outcome| outcome.load(Ordering::SeqCst));
    for (name, state) in NAMES.into_iter().zip(states()) {
        suite.check(state == WAITS, format_args!("who waits for {name} on cpu{cpu} has come to {state}"));
    }
    give(suite, things)?;
    let end = suite.in_us(20_000_000);
    while states() != [OK; NAMES.len()] && syscall::tsc() < end {
        pause(suite)?;
    }
    for (name, state) in NAMES.into_iter().zip(states()) {
        suite.check(state == OK, format_args!("who waited for {name} on cpu{cpu} comes to {state}"));
    }
    things.close()
}

/// Sleeps for a moment.
fn pause(suite: &Suite<'_>) -> Result<(), Status> {
    let never = Event::try_new()?;
    let _ = never.wait_until(suite.in_us(1000));
    process::close(never.0)
}

/// What wakes somebody, and none of those who wait.
fn everything_else(suite: &Suite<'_>, things: Things) -> Result<(), Status> {
    let near = || suite.in_us(NEAR_US);
    // Somebody else's event, signalled, and waited for until the timer comes.
    let other = Event::try_new()?;
    other.signal()?;
    other.wait()?;
    let timed_out = other.wait_until(near());
    // A second waiter is refused.
    let [event, _] = things.events;
    let refused = event.wait_until(near());
    // Calls that are given up: behind one that waits, and behind one that is served.
    let [queued, served, _] = things.channels;
    let call = |channel: Channel| channel.call(&mut Message { deadline_tsc: near(), ..Message::default() });
    let given_up = (call(queued), call(served));
    let expected = (Err(Status::TimedOut), Err(Status::WrongState));
    if (timed_out, refused) != expected || given_up != (expected.0, expected.0) {
        return Err(Status::HostFault);
    }
    // Another receiver that gives up, a binding that goes, and a process of these that ends.
    let (began, ended) = (Event::try_new()?, Event::try_new()?);
    let [_, _, endpoint] = things.endpoints;
    endpoint.bind(other, 9)?;
    let until = near();
    thread::spawn(things.cpu, PRIORITY, move || {
        let _ = began.signal();
        let _ = endpoint.receive(&mut Message { deadline_tsc: until, ..Message::default() });
        let _ = ended.signal();
    })?;
    began.wait()?;
    ended.wait()?;
    [other, began, ended].into_iter().try_for_each(|event| process::close(event.0))
}

/// What each of them waits for.
fn give(suite: &Suite<'_>, things: Things) -> Result<(), Status> {
    let child = Child::new(suite, "nothing")?.start(things.cpu, 1)?;
    child.join(suite)?;
    things.events.into_iter().try_for_each(Event::signal)?;
    let [queued, served, _] = things.endpoints;
    let now = || Message { deadline_tsc: 1, ..Message::default() };
    // The reply goes out; then nothing comes.
    let nothing = |answer: Result<Received, Status>| match answer {
        Err(Status::TimedOut) => Ok(()),
        _ => Err(Status::HostFault),
    };
    nothing(served.reply_and_receive(&mut now()))?;
    queued.receive(&mut Message { deadline_tsc: suite.in_us(FAR_US), ..Message::default() })?;
    nothing(queued.reply_and_receive(&mut now()))?;
    let [_, _, channel] = things.channels;
    // Whoever receives it ends without a reply.
    match channel.call(&mut Message { deadline_tsc: suite.in_us(FAR_US), ..Message::default() }) {
        Err(Status::Disconnected) => Ok(()),
        _ => Err(Status::HostFault),
    }
}
