//! Handles in messages.

use runtime::abi::message::Message;
use runtime::abi::operation::Handle;
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::process;

use super::{Served, command, server, status};
use crate::suite::Suite;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    for cpu in [0, suite.cpus - 1] {
        let answer = there(suite, cpu);
        let want = Ok(([Status::Ok; 3], true));
        suite.check(answer == want, format_args!("handles passed to a server on cpu{cpu}: {answer:?}"));
        let answer = back(suite, cpu);
        suite.check(answer == Ok([Status::Ok; 4]), format_args!("handles in a reply, cpu{cpu}: {answer:?}"));
    }
    let answer = refused(suite);
    let want = Ok([Status::BadHandle, Status::BadHandle, Status::WrongState, Status::BadHandle]);
    suite.check(answer == want, format_args!("handles that may not be passed: {answer:?}"));
    let answer = refused_reply(suite);
    suite.check(answer == Ok(Status::BadHandle), format_args!("a reply with a bad handle: {answer:?}"));
    let answer = no_room(suite);
    let want = Ok([Status::OutOfHandles, Status::Ok, Status::OutOfHandles, Status::Ok]);
    suite.check(answer == want, format_args!("handles without room for them: {answer:?}"));
}

/// How many more handles this process, or the server, can have.
fn free_here() -> usize {
    let events: alloc::vec::Vec<Event> = core::iter::from_fn(|| Event::try_new().ok()).collect();
    events.iter().for_each(|event| {
        let _ = process::close(event.0);
    });
    events.len()
}

fn free_there(suite: &Suite<'_>, served: &Served) -> Result<u64, Status> {
    let mut message = command(suite, server::FREE);
    served.channel.call(&mut message)?;
    Ok(message.words[1])
}

/// An event in each place by turns: the call's status, the server's signal's, and whether it came; and
/// whether the server has as many handles as before.
fn there(suite: &Suite<'_>, cpu: u32) -> Result<([Status; 3], bool), Status> {
    let served = Served::new(suite, cpu, 1)?;
    let event = Event::try_new()?;
    let before = free_there(suite, &served)?;
    let mut answers = [Status::Ok; 3];
    for handles in [[event.0, 0, 0, 0], [event.0; 4], [event.0, 0, 0, event.0]] {
        let mut message = Message { handles, ..command(suite, server::SIGNAL) };
        answers[0] = status(served.channel.call(&mut message));
        answers[1] = Status::from_code(message.words[1] as i32).unwrap_or(Status::HostFault);
        answers[2] = status(event.wait_until(0));
    }
    let same = free_there(suite, &served)? == before;
    served.end(suite)?;
    process::close(event.0)?;
    Ok((answers, same))
}

/// Four handles for one event come back: each of them works.
fn back(suite: &Suite<'_>, cpu: u32) -> Result<[Status; 4], Status> {
    let served = Served::new(suite, cpu, 1)?;
    let mut message = command(suite, server::GIVE);
    served.channel.call(&mut message)?;
    let events = message.handles.map(Event);
    let mut answers = [Status::HostFault; 4];
    for (index, answer) in answers.iter_mut().enumerate() {
        let [sends, takes] = [0, 1].map(|more| events[(index + more) % 4]);
        *answer = status(sends.signal().and_then(|()| takes.wait_until(0)));
    }
    events.into_iter().try_for_each(|event| process::close(event.0))?;
    served.end(suite)?;
    Ok(answers)
}

/// What cannot be passed: no handle, the process itself, one that was never started; and of two handles none
/// is passed if one is refused.
fn refused(suite: &Suite<'_>) -> Result<[Status; 4], Status> {
    let served = Served::new(suite, 0, 1)?;
    let file = process::open(suite.files, "abi-test")?;
    let new = process::create(file)?;
    let event = Event::try_new()?;
    let before = free_there(suite, &served)?;
    let pass = |handles: [Handle; 4]| {
        status(served.channel.call(&mut Message { handles, ..command(suite, server::SIGNAL) }))
    };
    let answers =
        [pass([95, 0, 0, 0]), pass([1, 0, 0, 0]), pass([0, new, 0, 0]), pass([event.0, 0, 0, u32::MAX])];
    if free_there(suite, &served)? != before {
        return Err(Status::Exhausted);
    }
    served.end(suite)?;
    [file, new, event.0].into_iter().try_for_each(process::close)?;
    Ok(answers)
}

/// The status that a server gets for it, as it tells in the reply that it then gives.
fn refused_reply(suite: &Suite<'_>) -> Result<Status, Status> {
    let served = Served::new(suite, 0, 1)?;
    let mut message = command(suite, server::GIVE_NONE);
    served.channel.call(&mut message)?;
    served.end(suite)?;
    Status::from_code(message.words[1] as i32).ok_or(Status::NotFound)
}

/// A server whose table is full, and the same when it has room again; a caller whose table is full.
fn no_room(suite: &Suite<'_>) -> Result<[Status; 4], Status> {
    let served = Served::new(suite, 0, 1)?;
    let event = Event::try_new()?;
    let pass = |handles: [Handle; 4], what: u64| {
        status(served.channel.call(&mut Message { handles, ..command(suite, what) }))
    };
    let before = free_here();
    if pass([0; 4], server::FILL) != Status::Ok {
        return Err(Status::HostFault);
    }
    let first = pass([event.0, event.0, 0, 0], server::SIGNAL);
    // The call that was refused did not reach the server, which empties its table at this one.
    let _ = pass([0; 4], server::ADD);
    let second = pass([event.0, event.0, 0, 0], server::SIGNAL);
    let mine: alloc::vec::Vec<Event> = core::iter::from_fn(|| Event::try_new().ok()).collect();
    let third = pass([0; 4], server::GIVE);
    mine.iter().try_for_each(|event| process::close(event.0))?;
    let fourth = pass([0; 4], server::ADD);
    if free_here() != before {
        return Err(Status::Exhausted);
    }
    served.end(suite)?;
    process::close(event.0)?;
    Ok([first, second, third, fourth])
}
