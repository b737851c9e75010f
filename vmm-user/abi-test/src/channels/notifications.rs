//! Events that are bound to an endpoint.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use runtime::abi::message::Message;
use runtime::abi::status::Status;
use runtime::channel::{Endpoint, Received};
use runtime::event::Event;
use runtime::{process, syscall, thread};

use super::{LOST_US, command, pause, status};
use crate::suite::Suite;

/// The most events that an endpoint has.
const BOUND_MAX: u64 = 32;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let answer = one_after_the_other(suite);
    suite.check(answer == Ok(()), format_args!("signals at an endpoint: {answer:?}"));
    for cpu in [0, suite.cpus - 1] {
        let answer = wakes(suite, cpu);
        suite.check(answer == Ok(500), format_args!("a server that signals wake on cpu{cpu}: {answer:?}"));
    }
    let answer = many(suite);
    suite.check(
        answer == Ok(Status::Exhausted),
        format_args!("more events than there is room for: {answer:?}"),
    );
    let answer = with_calls(suite);
    suite.check(answer == Ok(true), format_args!("calls among signals: {answer:?}"));
}

/// What is at the endpoint now, without waiting.
fn now(endpoint: Endpoint) -> Result<(Received, u64), Status> {
    let mut message = Message { words: [9; 12], handles: [9; 4], ..Message::default() };
    let received = endpoint.receive(&mut message)?;
    let Message { key, deadline_tsc, handles, words } = message;
    // A notification has nothing but its key.
    if (deadline_tsc, handles, words) != (0, [0; 4], [0; 12]) {
        return Err(Status::HostFault);
    }
    Ok((received, key))
}

fn one_after_the_other(suite: &Suite<'_>) -> Result<(), Status> {
    let expect = |holds: bool, what: &str| {
        if !holds {
            log::error!("{what}");
        }
        holds.then_some(()).ok_or(Status::HostFault)
    };
    let endpoint = Endpoint::try_new()?;
    let (a, b) = (Event::try_new()?, Event::try_new()?);
    a.signal()?;
    endpoint.bind(a, 5)?;
    expect(now(endpoint) == Ok((Received::Notification, 5)), "a signal before the binding")?;
    expect(now(endpoint) == Err(Status::TimedOut), "a signal that was taken")?;
    endpoint.bind(b, u64::MAX)?;
    (0..3).try_for_each(|_| a.signal())?;
    b.signal()?;
    let two = [now(endpoint)?.1, now(endpoint)?.1];
    expect(two == [u64::MAX, 5] || two == [5, u64::MAX], "one of each")?;
    expect(now(endpoint) == Err(Status::TimedOut), "three signals are one")?;
    expect(a.wait_until(suite.in_us(100)) == Err(Status::WrongState), "a wait for a bound event")?;
    // Bound anew: by the new key alone.
    a.signal()?;
    endpoint.bind(a, 6)?;
    expect(now(endpoint) == Err(Status::TimedOut), "a signal to a binding that was undone")?;
    a.signal()?;
    expect(now(endpoint) == Ok((Received::Notification, 6)), "a new key")?;
    a.signal()?;
    process::close(a.0)?;
    expect(now(endpoint) == Err(Status::TimedOut), "a signal of an event that is gone")?;
    b.signal()?;
    let other = Endpoint::try_new()?;
    other.bind(b, 1)?;
    expect(now(endpoint) == Err(Status::TimedOut), "a signal to another endpoint")?;
    b.signal()?;
    expect(now(other) == Ok((Received::Notification, 1)), "at the other endpoint")?;
    [b.0, endpoint.0, other.0].into_iter().try_for_each(process::close)
}

/// A thread signals, and this one receives each time. Returns how often.
fn wakes(suite: &Suite<'_>, cpu: u32) -> Result<u64, Status> {
    const ROUNDS: u64 = 500;
    let endpoint = Endpoint::try_new()?;
    let (event, back) = (Event::try_new()?, Event::try_new()?);
    endpoint.bind(event, 3)?;
    let done = Arc::new(AtomicU32::new(0));
    let says = done.clone();
    thread::spawn(cpu, 1, move || {
        for _ in 0..ROUNDS {
            if event.signal().and_then(|()| back.wait()).is_err() {
                break;
            }
        }
        says.store(1, Ordering::SeqCst);
    })?;
    for round in 0..ROUNDS {
        let mut message = command(suite, 0);
        if endpoint.receive(&mut message)? != Received::Notification || message.key != 3 {
            return Ok(round);
        }
        back.signal()?;
    }
    // Its handles' numbers are another's when they are closed.
    while done.load(Ordering::SeqCst) == 0 {
        pause(suite, 1000);
    }
    [endpoint.0, event.0, back.0].into_iter().try_for_each(process::close)?;
    Ok(ROUNDS)
}

/// As many events as there is room for all come, each once; one more is refused, and bound when another went.
fn many(suite: &Suite<'_>) -> Result<Status, Status> {
    let endpoint = Endpoint::try_new()?;
    let events: Result<alloc::vec::Vec<Event>, Status> = (0..BOUND_MAX).map(|_| Event::try_new()).collect();
    let events = events?;
    for (key, event) in events.iter().enumerate() {
        endpoint.bind(*event, key as u64)?;
    }
    let more = Event::try_new()?;
    let answer = status(endpoint.bind(more, 99));
    for round in 0..3 {
        events.iter().try_for_each(|event| event.signal())?;
        let mut seen = 0u32;
        for _ in 0..BOUND_MAX {
            seen |= 1 << now(endpoint)?.1;
        }
        if seen != u32::MAX || now(endpoint) != Err(Status::TimedOut) {
            log::error!("round {round}: {seen:#x}");
            return Err(Status::HostFault);
        }
    }
    process::close(events[4].0)?;
    endpoint.bind(more, 99)?;
    more.signal()?;
    if now(endpoint) != Ok((Received::Notification, 99)) {
        return Err(Status::NotFound);
    }
    let rest = events.iter().filter(|event| event.0 != events[4].0).map(|event| event.0);
    rest.chain([more.0, endpoint.0]).try_for_each(process::close)?;
    pause(suite, 1);
    Ok(answer)
}

/// An event that is signalled before each receive does not keep a caller waiting.
fn with_calls(suite: &Suite<'_>) -> Result<bool, Status> {
    let endpoint = Endpoint::try_new()?;
    let channel = endpoint.channel(8)?;
    let event = Event::try_new()?;
    endpoint.bind(event, 3)?;
    let limit = suite.in_us(LOST_US);
    thread::spawn(0, 2, move || {
        let _ = channel.call(&mut Message { deadline_tsc: limit, ..Message::default() });
    })?;
    pause(suite, 20_000);
    let mut called = false;
    for _ in 0..3 {
        event.signal()?;
        let mut message = command(suite, 0);
        called |= endpoint.receive(&mut message)? == Received::Call;
        if called && message.key == 8 {
            message.deadline_tsc = 0;
            let _ = endpoint.reply_and_receive(&mut message);
            break;
        }
    }
    syscall::yield_now();
    pause(suite, 20_000);
    [channel.0, event.0, endpoint.0].into_iter().try_for_each(process::close)?;
    Ok(called)
}
