//! Who comes first, and how urgent a server is meanwhile.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use runtime::abi::message::Message;
use runtime::abi::status::Status;
use runtime::channel::Endpoint;
use runtime::{process, syscall, thread};

use super::{LOST_US, pause};
use crate::suite::Suite;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let answer = order(suite);
    suite.check(answer == Ok(0x2_2110), format_args!("the order of callers by priority: {answer:x?}"));
    let answer = runs_as_caller(suite, false);
    suite.check(answer == Ok([0, 1]), format_args!("a server of an urgent caller gives way: {answer:?}"));
    let answer = runs_as_caller(suite, true);
    suite.check(answer == Ok([0, 1]), format_args!("a server is raised by who waits for it: {answer:?}"));
    let answer = is_itself_again(suite);
    suite.check(
        answer == Ok(true),
        format_args!("a server that has replied has its own priority: {answer:?}"),
    );
}

/// Callers of priorities 0, 1, 1, 2, 2 that came in another order, while nobody received. Returns their
/// priorities in the order in which they were served: the first served is the last digit.
fn order(suite: &Suite<'_>) -> Result<u64, Status> {
    let endpoint = Endpoint::try_new()?;
    let limit = suite.in_us(LOST_US);
    let order = [1, 2, 0, 2, 1];
    for (number, priority) in order.into_iter().enumerate() {
        let channel = endpoint.channel(number as u64)?;
        thread::spawn(0, priority, move || {
            let _ = channel.call(&mut Message { deadline_tsc: limit, ..Message::default() });
            let _ = process::close(channel.0);
        })?;
        // It calls before the next one does.
        pause(suite, 100_000);
    }
    let mut message = Message { deadline_tsc: limit, ..Message::default() };
    let (mut served, mut last) = (0, None);
    endpoint.receive(&mut message)?;
    for place in 0..5 {
        let number = message.key as usize;
        let priority = u64::from(*order.get(number).unwrap_or(&9));
        // Of equal ones the first comes first.
        if let Some((number_before, priority_before)) = last
            && priority_before == priority
            && number_before > number
        {
            return Err(Status::WrongState);
        }
        last = Some((number, priority));
        // The first served goes highest, so that the digits read in the order.
        served |= priority << (4 * (4 - place));
        message.deadline_tsc = if place < 4 { limit } else { 0 };
        let next = endpoint.reply_and_receive(&mut message);
        if place < 4 {
            next?;
        }
    }
    process::close(endpoint.0)?;
    Ok(served)
}

/// On one processor: a server of priority 0 works for this thread, of priority 2, while a thread of priority
/// 1 would keep it from running. `behind`: it already works for one of priority 0, and this thread waits
/// behind that. Returns how far the thread between had come when the reply was there, and whether it ran at
/// all.
fn runs_as_caller(suite: &Suite<'_>, behind: bool) -> Result<[u32; 2], Status> {
    let endpoint = Endpoint::try_new()?;
    let channel = endpoint.channel(1)?;
    let limit = suite.in_us(LOST_US);
    let work = suite.ticks_us * 30_000;
    let (begun, spun) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let says = begun.clone();
    thread::spawn(0, 0, move || {
        let mut message = Message { deadline_tsc: limit, ..Message::default() };
        let mut received = endpoint.receive(&mut message);
        while received.is_ok() {
            says.fetch_add(1, Ordering::SeqCst);
            let until = syscall::tsc() + work;
            while syscall::tsc() < until {
                core::hint::spin_loop();
            }
            message.deadline_tsc = limit;
            received = endpoint.reply_and_receive(&mut message);
        }
    })?;
    // It waits for the next call when it has replied to this one.
    channel.call(&mut Message { deadline_tsc: limit, ..Message::default() })?;
    if behind {
        thread::spawn(0, 0, move || {
            let _ = channel.call(&mut Message { deadline_tsc: limit, ..Message::default() });
        })?;
        while begun.load(Ordering::SeqCst) < 2 {
            pause(suite, 1000);
        }
    }
    let spins = spun.clone();
    thread::spawn(0, 1, move || {
        spins.store(1, Ordering::SeqCst);
        while syscall::tsc() < limit && spins.load(Ordering::SeqCst) != 2 {
            core::hint::spin_loop();
        }
    })?;
    channel.call(&mut Message { deadline_tsc: limit, ..Message::default() })?;
    let while_served = spun.load(Ordering::SeqCst);
    pause(suite, 100_000);
    let later = spun.load(Ordering::SeqCst);
    spun.store(2, Ordering::SeqCst);
    Ok([while_served, later])
}

/// On one processor: a server of priority 0 that has served this thread is less urgent than one of priority 1
/// again.
fn is_itself_again(suite: &Suite<'_>) -> Result<bool, Status> {
    let endpoint = Endpoint::try_new()?;
    let channel = endpoint.channel(1)?;
    let limit = suite.in_us(LOST_US);
    let turns = Arc::new(AtomicU64::new(0));
    let counts = turns.clone();
    thread::spawn(0, 0, move || {
        let mut message = Message { deadline_tsc: limit, ..Message::default() };
        let _ = endpoint.receive(&mut message);
        message.deadline_tsc = 0;
        let _ = endpoint.reply_and_receive(&mut message);
        while counts.load(Ordering::SeqCst) < u64::from(u32::MAX) {
            counts.fetch_add(1, Ordering::SeqCst);
        }
    })?;
    channel.call(&mut Message { deadline_tsc: limit, ..Message::default() })?;
    let (begun, stop) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicU32::new(0)));
    let (seen, ends) = (begun.clone(), stop.clone());
    let before = turns.clone();
    thread::spawn(0, 1, move || {
        seen.store(before.load(Ordering::SeqCst), Ordering::SeqCst);
        while ends.load(Ordering::SeqCst) == 0 && syscall::tsc() < limit {
            core::hint::spin_loop();
        }
    })?;
    pause(suite, 100_000);
    let same = begun.load(Ordering::SeqCst) == turns.load(Ordering::SeqCst);
    stop.store(1, Ordering::SeqCst);
    turns.store(u64::from(u32::MAX), Ordering::SeqCst);
    Ok(same)
}
