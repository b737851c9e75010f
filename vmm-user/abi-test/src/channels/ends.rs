//! Ends of servers and of callers, at every moment of a call.

use runtime::abi::operation::Rights;
use runtime::abi::status::Status;
use runtime::abi::syscall::exit_code;
use runtime::channel::Endpoint;
use runtime::process;

use super::{Served, call, command, pause, server, start, status};
use crate::child::Child;
use crate::suite::Suite;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    for cpu in [0, suite.cpus - 1] {
        for (what, command, code) in [
            ("ends", server::END, 0),
            ("faults", server::FAULT, exit_code::FAULT | 6),
            ("loses its thread", server::END_THREAD, 0),
        ] {
            let answer = while_served(suite, cpu, command);
            let want = Ok(([Status::Disconnected; 2], code));
            suite.check(answer == want, format_args!("a server on cpu{cpu} that {what}: {answer:x?}"));
        }
        let answer = while_queued(suite, cpu);
        let want = Ok([Status::Disconnected as u32; 3]);
        suite
            .check(answer == want, format_args!("callers behind a server on cpu{cpu} that ends: {answer:?}"));
        let answer = caller(suite, cpu);
        suite.check(
            answer == Ok((77, Status::Ok)),
            format_args!("a caller on cpu{cpu} that ends: {answer:?}"),
        );
    }
    let answer = successor(suite);
    let want = Ok([Status::WrongState, Status::Ok, Status::Disconnected, Status::Ok]);
    suite.check(answer == want, format_args!("a second server: {answer:?}"));
    let answer = nothing_is_left(suite);
    suite.check(answer == Ok(true), format_args!("memory after many servers and callers: {answer:?}"));
}

/// The server ends while it serves. Returns that call's status and that of one after it, and the exit code.
fn while_served(suite: &Suite<'_>, cpu: u32, what: u64) -> Result<([Status; 2], u32), Status> {
    let served = Served::new(suite, cpu, 1)?;
    let first = call(suite, served.channel, what);
    // The process may have a thread left for a moment.
    if what == server::END_THREAD {
        pause(suite, 500_000);
    }
    let second = call(suite, served.channel, server::ADD);
    Ok(([first, second], served.end(suite)?))
}

fn client(suite: &Suite<'_>, served: &Served, what: u64, cpu: u32) -> Result<Child, Status> {
    let child = Child::new(suite, "channel-client")?.set("command", what);
    let child = child.grant("log", suite.start.handle("log").unwrap_or(0), Rights::WRITE)?;
    child.grant("channel", served.channel.0, Rights::SIGNAL)?.start(cpu, 1)
}

/// Three callers in processes of their own, the last of which makes the server's only thread end, and its
/// process a little later. The others call before that, and are told.
fn while_queued(suite: &Suite<'_>, cpu: u32) -> Result<[u32; 3], Status> {
    let served = Served::new(suite, cpu, 1)?;
    // Nobody is received any more: the one thread has ended, and then the process does. Its caller knows.
    let last = client(suite, &served, server::END_THREAD, suite.cpus - 1)?.join(suite)?.code;
    let first = client(suite, &served, server::ADD, 0)?;
    let second = client(suite, &served, server::ADD, suite.cpus - 1)?;
    let codes = [first.join(suite)?.code, second.join(suite)?.code, last];
    served.end(suite)?;
    Ok(codes)
}

/// A caller's process ends while its call is served. Returns its exit code, and the status of a call after
/// it.
fn caller(suite: &Suite<'_>, cpu: u32) -> Result<(u32, Status), Status> {
    let served = Served::new(suite, cpu, 1)?;
    let child = Child::new(suite, "channel-client")?
        .set("command", server::SLEEP)
        .set("end-after", suite.ticks_us * 5000)
        .set("end-cpu", suite.cpus - 1)
        .grant("channel", served.channel.0, Rights::SIGNAL)?
        .start(0, 1)?;
    let code = child.join(suite)?.code;
    let after = call(suite, served.channel, server::ADD);
    served.end(suite)?;
    Ok((code, after))
}

/// A second process may not receive while the first one lives, and may when it has ended: what it gets then,
/// and what callers get before and after.
fn successor(suite: &Suite<'_>) -> Result<[Status; 4], Status> {
    let served = Served::new(suite, 0, 2)?;
    let alive = call(suite, served.channel, server::ADD);
    let mut message = command(suite, 0);
    let refused = status(served.endpoint.receive(&mut message));
    let _ = call(suite, served.channel, server::END);
    let between = call(suite, served.channel, server::ADD);
    let Served { endpoint, channel, child } = served;
    child.join(suite)?;
    let child = start(suite, endpoint, 0, 2)?;
    let after = loop {
        match call(suite, channel, server::ADD) {
            // It has not begun to receive.
            Status::Disconnected => pause(suite, 1000),
            other => break other,
        }
    };
    Served { endpoint, channel, child }.end(suite)?;
    Ok([refused, alive, between, after])
}

/// Servers and callers, many times: as much memory is free as before, and all objects can be made again.
fn nothing_is_left(suite: &Suite<'_>) -> Result<bool, Status> {
    let round = |suite: &Suite<'_>, cpu: u32| -> Result<(), Status> {
        let served = Served::new(suite, cpu, 1)?;
        let mut message = command(suite, server::GIVE);
        served.channel.call(&mut message)?;
        message.handles.into_iter().try_for_each(process::close)?;
        let child = client(suite, &served, server::END, suite.cpus - 1)?;
        child.join(suite)?;
        served.end(suite).map(|_| ())
    };
    let objects = || {
        let endpoints: alloc::vec::Vec<Endpoint> =
            core::iter::from_fn(|| Endpoint::try_new().ok()).take(64).collect();
        let channels: alloc::vec::Vec<_> =
            core::iter::from_fn(|| endpoints.first()?.channel(1).ok()).take(96).collect();
        let count = (endpoints.len(), channels.len());
        endpoints.iter().map(|e| e.0).chain(channels.iter().map(|c| c.0)).for_each(|handle| {
            let _ = process::close(handle);
        });
        count
    };
    round(suite, 0)?;
    let (before, made) = (suite.free_bytes(), objects());
    for number in 0..30 {
        round(suite, number % suite.cpus)?;
    }
    let settles = suite.settles_at(before);
    let again = objects();
    if !settles || made != again {
        log::error!("{before} bytes before, {} after; objects {made:?}, {again:?}", suite.free_bytes());
    }
    Ok(settles && made == again)
}
