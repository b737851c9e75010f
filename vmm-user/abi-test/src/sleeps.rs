//! Threads that sleep and threads that compute: each wakes when it should, and no other time, and has its
//! turn.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::{process, syscall, thread};

use crate::suite::Suite;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let answer = woken_once(suite);
    suite.check(answer == Ok(true), format_args!("a deadline that a signal has overtaken: {answer:?}"));
    let seen = by_turns(suite);
    suite.check(seen == Ok(true), format_args!("an equal thread that computes, as this one does: {seen:?}"));
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
