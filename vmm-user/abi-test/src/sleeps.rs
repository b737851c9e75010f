//! Threads that sleep and threads that compute: each wakes when it should, and no other time, and has its
//! turn.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::{process, syscall, thread};

use crate::suite::Suite;

/// How often a lock is wanted that another thread may have.
const TIMES: u32 = 300;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let answer = woken_once(suite);
    suite.check(answer == Ok(true), format_args!("a deadline that a signal has overtaken: {answer:?}"));
    let seen = by_turns(suite);
    suite.check(seen == Ok(true), format_args!("an equal thread that computes, as this one does: {seen:?}"));
    let seen = less_urgent(suite);
    suite.check(seen == Ok(true), format_args!("a less urgent thread, while this one yields: {seen:?}"));
    // A millisecond at most: what is left in the register may be anything.
    let until = suite.in_us(20_000_000);
    syscall::yield_until(until);
    suite.check(syscall::tsc() < until, format_args!("a yield until a time that is far away"));
    let times = lock_of_less_urgent(suite);
    suite.check(
        times == Ok(TIMES),
        format_args!("a lock that a less urgent thread has: {times:?} times of {TIMES}"),
    );
}

/// A thread that was woken by a signal is not woken once more at the deadline of that wait, while it waits
/// for something else.
fn woken_once(suite: &Suite<'_>) -> Result<bool, Status> {
    let (first, second) = (Event::try_new()?, Event::try_new()?);
    let mut holds = Err(Status::TimedOut);
    // On a busy host the first deadline may come before the signal.
    for micros in [100_000, 1_000_000, 10_000_000] {
        let until = suite.in_us(micros);
        // Less urgent, so that it runs when this one sleeps.
        thread::spawn(0, 1, move || {
            let _ = first.signal();
        })?;
        if first.wait_until(until).is_ok() {
            let later = until + suite.ticks_us * 100_000;
            let answer = second.wait_until(later);
            holds = Ok(answer == Err(Status::TimedOut) && syscall::tsc() >= later);
            break;
        }
        first.wait()?;
    }
    process::close(first.0)?;
    process::close(second.0)?;
    holds
}

/// Of two equal threads that make no system call each has its turn: whether the other one hears this one,
/// which it waits for.
fn by_turns(suite: &Suite<'_>) -> Result<bool, Status> {
    let [begun, told, heard] = [(); 3].map(|()| Arc::new(AtomicU32::new(0)));
    let (begins, hears, says) = (begun.clone(), told.clone(), heard.clone());
    let limit = suite.in_us(20_000_000);
    let spin = move |flag: &AtomicU32| {
        while flag.load(Ordering::SeqCst) == 0 && syscall::tsc() < limit {
            core::hint::spin_loop();
        }
        flag.load(Ordering::SeqCst)
    };
    thread::spawn(0, 2, move || {
        begins.store(1, Ordering::SeqCst);
        says.store(1 + spin(&hears), Ordering::SeqCst);
    })?;
    spin(&begun);
    told.store(1, Ordering::SeqCst);
    spin(&heard);
    Ok(heard.load(Ordering::SeqCst) == 2)
}

/// Who yields until a time lets a less urgent thread of its processor run, and goes on when it has come, or
/// soon: whether the thread ran, and time passed.
fn less_urgent(suite: &Suite<'_>) -> Result<bool, Status> {
    let told = Arc::new(AtomicU32::new(0));
    let tells = told.clone();
    thread::spawn(0, 1, move || tells.store(1, Ordering::SeqCst))?;
    let until = suite.in_us(500);
    syscall::yield_until(until);
    let has_passed = syscall::tsc() >= until;
    // On a busy host the time may come before that thread has had its turn.
    let limit = suite.in_us(10_000_000);
    while told.load(Ordering::SeqCst) == 0 && syscall::tsc() < limit {
        syscall::yield_until(u64::MAX);
    }
    Ok(has_passed && told.load(Ordering::SeqCst) == 1)
}

/// A less urgent thread of this processor, which takes the heap's lock again and again, is interrupted by
/// this one, which wants it too: how often this one got it.
fn lock_of_less_urgent(suite: &Suite<'_>) -> Result<u32, Status> {
    let (stop, stopped) = (Arc::new(AtomicU32::new(0)), Event::try_new()?);
    let stops = stop.clone();
    thread::spawn(0, 1, move || {
        while stops.load(Ordering::SeqCst) == 0 {
            drop(core::hint::black_box(Vec::<u8>::with_capacity(64)));
        }
        let _ = stopped.signal();
    })?;
    let mut times = 0;
    for _ in 0..TIMES {
        // Somewhere in what the other thread does then.
        syscall::yield_until(suite.in_us(20));
        drop(core::hint::black_box(Vec::<u8>::with_capacity(64)));
        times += 1;
    }
    stop.store(1, Ordering::SeqCst);
    stopped.wait()?;
    process::close(stopped.0)?;
    Ok(times)
}
