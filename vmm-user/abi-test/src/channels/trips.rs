//! Calls and replies: what arrives is what was sent, between threads and processes, on one processor and on
//! two.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use runtime::abi::message::Message;
use runtime::abi::status::Status;
use runtime::channel::{Channel, Endpoint};
use runtime::{process, syscall, thread};

use super::{LOST_US, Served, command, server};
use crate::suite::Suite;

const ROUNDS: u64 = 3000;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    for cpu in [0, suite.cpus - 1] {
        for priority in 0..4 {
            let answer = to_process(suite, cpu, priority);
            let what = format_args!("calls to a process on cpu{cpu} with priority {priority}: {answer:?}");
            suite.check(answer == Ok(0), what);
        }
        let answer = to_thread(suite, cpu);
        suite.check(answer == Ok(()), format_args!("calls to a thread on cpu{cpu}: {answer:?}"));
    }
    let answer = from_many(suite);
    suite.check(answer == Ok(0), format_args!("calls from and to threads on all processors: {answer:?}"));
    let answer = two_keys(suite);
    suite.check(answer == Ok([7, u64::MAX]), format_args!("two channels of an endpoint: {answer:x?}"));
}

/// Calls so often, and looks at every word of every reply.
fn add(channel: Channel, rounds: u64, deadline_tsc: impl Fn() -> u64) -> Result<(), Status> {
    for round in 0..rounds {
        let mut message = Message { key: 99, deadline_tsc: deadline_tsc(), ..Message::default() };
        for (index, word) in message.words.iter_mut().enumerate().skip(1) {
            *word = round << 32 | index as u64;
        }
        message.words[0] = server::ADD;
        channel.call(&mut message)?;
        let is_wrong = |(index, word): (usize, &u64)| match index {
            0 => *word != server::ADD + 1,
            11 => *word != 7,
            _ => *word != (round << 32 | index as u64) + 1,
        };
        if message.words.iter().enumerate().any(is_wrong)
            || (message.key, message.deadline_tsc, message.handles) != (0, 0, [0; 4])
        {
            log::error!("round {round}: {message:x?}");
            return Err(Status::HostFault);
        }
    }
    Ok(())
}

fn to_process(suite: &Suite<'_>, cpu: u32, priority: u32) -> Result<u32, Status> {
    let served = Served::new(suite, cpu, priority)?;
    add(served.channel, ROUNDS / 2, || suite.in_us(LOST_US))?;
    add(served.channel, ROUNDS / 2, || u64::MAX)?;
    served.end(suite)
}

fn to_thread(suite: &Suite<'_>, cpu: u32) -> Result<(), Status> {
    let endpoint = Endpoint::try_new()?;
    let channel = endpoint.channel(7)?;
    thread::spawn(cpu, 1, move || {
        let mut message = Message { deadline_tsc: u64::MAX, ..Message::default() };
        let mut received = endpoint.receive(&mut message);
        while received.is_ok() && message.words[0] == server::ADD {
            message.words.iter_mut().for_each(|word| *word = word.wrapping_add(1));
            message.words[11] = message.key;
            message.deadline_tsc = u64::MAX;
            received = endpoint.reply_and_receive(&mut message);
        }
        // The last one is replied to, and nothing is waited for.
        message.deadline_tsc = 0;
        let _ = endpoint.reply_and_receive(&mut message);
    })?;
    add(channel, ROUNDS, || suite.in_us(LOST_US))?;
    channel.call(&mut command(suite, server::END))?;
    process::close(endpoint.0)?;
    process::close(channel.0)
}

/// Two servers and four clients, spread over the processors. Returns how many clients failed.
fn from_many(suite: &Suite<'_>) -> Result<u32, Status> {
    const CLIENTS: u32 = 4;
    let endpoint = Endpoint::try_new()?;
    let channel = endpoint.channel(7)?;
    for server in 0..2 {
        thread::spawn(server % suite.cpus, 1, move || {
            server::run(endpoint, 1);
        })?;
    }
    let (done, failed) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    for client in 0..CLIENTS {
        let (done, failed) = (done.clone(), failed.clone());
        let limit = suite.ticks_us * LOST_US;
        thread::spawn(client % suite.cpus, client % 3, move || {
            let answer = add(channel, ROUNDS, || syscall::tsc() + limit);
            failed.fetch_add(u32::from(answer.is_err()), Ordering::SeqCst);
            done.fetch_add(1, Ordering::SeqCst);
        })?;
    }
    let deadline = suite.in_us(10 * LOST_US);
    while done.load(Ordering::SeqCst) < CLIENTS {
        if syscall::tsc() > deadline {
            return Err(Status::TimedOut);
        }
        super::pause(suite, 1000);
    }
    // The servers stay where they are until this process ends.
    Ok(failed.load(Ordering::SeqCst))
}

fn two_keys(suite: &Suite<'_>) -> Result<[u64; 2], Status> {
    let served = Served::new(suite, 0, 1)?;
    let other = served.endpoint.channel(u64::MAX)?;
    let key = |channel: Channel| {
        let mut message = command(suite, server::ADD);
        channel.call(&mut message).map(|()| message.words[11])
    };
    let keys = [key(served.channel)?, key(other)?];
    process::close(other.0)?;
    served.end(suite)?;
    Ok(keys)
}
