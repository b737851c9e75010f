//! Threads, events, deadlines and priorities, on one processor and on two.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use runtime::abi::operation::{Call, EventBindVcpu, EventCreate, EventSignal, EventWait, HANDLE_SELF};
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::{call, process, syscall, thread};

use crate::suite::Suite;
use crate::vm::Machine;
use crate::waiters;

const ROUNDS: u32 = 4000;
/// Microseconds after which a signal is lost. Of one round, not of all: a busy host may let each round wait.
const LOST_US: u64 = 20_000_000;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    for cpu in [0, suite.cpus - 1] {
        let answer = ping_pong(suite, cpu);
        suite.check(answer == Ok(ROUNDS), format_args!("ping-pong with cpu{cpu}: {answer:?}"));
        let answer = signal_against_deadline(suite, cpu);
        suite.check(answer == Ok(()), format_args!("signals against deadlines on cpu{cpu}: {answer:?}"));
    }
    deadlines(suite);
    one_waiter(suite);
    for taker in [Taker::Wait, Taker::Binding] {
        let answer = handed_over(suite, taker);
        let holds = matches!(answer, Ok((Status::Ok, _)));
        suite.check(holds, format_args!("a waiter whose signal a {taker:?} wants as well: {answer:?}"));
    }
    priorities(suite);
}

/// Two threads wake each other by turns. Returns the turns the other one saw.
fn ping_pong(suite: &Suite<'_>, cpu: u32) -> Result<u32, Status> {
    let (there, back) = (Event::try_new()?, Event::try_new()?);
    let turns = Arc::new(AtomicU32::new(0));
    let theirs = turns.clone();
    thread::spawn(cpu, 1, move || {
        for _ in 0..ROUNDS {
            if there.wait().is_err() {
                return;
            }
            theirs.fetch_add(1, Ordering::Relaxed);
            let _ = back.signal();
        }
    })?;
    for _ in 0..ROUNDS {
        there.signal()?;
        back.wait_until(suite.in_us(LOST_US))?;
    }
    process::close(there.0)?;
    process::close(back.0)?;
    Ok(turns.load(Ordering::Relaxed))
}

/// Waits with deadlines so short that signal and deadline often come at once: no signal may be lost.
fn signal_against_deadline(suite: &Suite<'_>, cpu: u32) -> Result<(), Status> {
    let event = Event::try_new()?;
    let (asked, signalled) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (want, sent) = (asked.clone(), signalled.clone());
    thread::spawn(cpu, 2, move || {
        for round in 1..=ROUNDS {
            while want.load(Ordering::Acquire) < round {
                syscall::yield_now();
            }
            let _ = event.signal();
            sent.store(round, Ordering::Release);
        }
    })?;
    for round in 1..=ROUNDS {
        let limit = suite.in_us(LOST_US);
        asked.store(round, Ordering::Release);
        while event.wait_until(suite.in_us(u64::from(round % 64))) == Err(Status::TimedOut) {
            if syscall::tsc() > limit {
                return Err(Status::TimedOut);
            }
        }
    }
    while signalled.load(Ordering::Acquire) < ROUNDS {
        syscall::yield_now();
    }
    process::close(event.0)
}

fn deadlines(suite: &mut Suite<'_>) {
    let Ok(event) = Event::try_new() else { return suite.check(false, format_args!("an event")) };
    for micros in [0, 1, 100, 5000] {
        let until = suite.in_us(micros);
        let answer = event.wait_until(until);
        let late = syscall::tsc() >= until;
        suite.check(answer == Err(Status::TimedOut) && late, format_args!("{micros} us: {answer:?}, {late}"));
    }
    suite.expect(event.wait_until(0), Status::TimedOut, format_args!("no wait at all"));
    suite.expect(event.wait_until(1), Status::TimedOut, format_args!("a deadline long past"));
    suite.expect(event.signal(), Status::Ok, format_args!("a signal"));
    suite.expect(event.signal(), Status::Ok, format_args!("a second signal, which changes nothing"));
    suite.expect(event.wait_until(0), Status::Ok, format_args!("the signal is there"));
    suite.expect(event.wait_until(0), Status::TimedOut, format_args!("the signal is taken"));
    suite.expect(process::close(event.0), Status::Ok, format_args!("closing it"));
}

/// A second waiter is refused; a waiter whose event's handle is closed is woken by nobody but its deadline.
fn one_waiter(suite: &mut Suite<'_>) {
    let Ok(event) = call(HANDLE_SELF, EventCreate::default()).map(|c| Event(c.handle)) else {
        return suite.check(false, format_args!("an event"));
    };
    let answer = Arc::new(AtomicU32::new(u32::MAX));
    let theirs = answer.clone();
    let until = suite.in_us(2_000_000);
    let spawned = thread::spawn(suite.cpus - 1, 2, move || {
        let status = waiters::wait_until(event, until).err().unwrap_or(Status::Ok);
        theirs.store(status as u32, Ordering::SeqCst);
    });
    suite.expect(spawned, Status::Ok, format_args!("a thread"));
    suite.expect(
        waiters::until_waited_for(event, suite.ticks_us),
        Status::Ok,
        format_args!("the first waiter"),
    );
    suite.expect(event.wait_until(0), Status::TimedOut, format_args!("a look where another waits"));
    suite.expect(event.wait_until(suite.in_us(1)), Status::WrongState, format_args!("a second waiter"));
    suite.expect(process::close(event.0), Status::Ok, format_args!("closing it under the waiter"));
    let limit = suite.in_us(10_000_000);
    while answer.load(Ordering::SeqCst) == u32::MAX && syscall::tsc() < limit {
        syscall::yield_now();
    }
    let got = answer.load(Ordering::SeqCst);
    suite.check(got == Status::TimedOut as u32, format_args!("the first waiter: {got}"));
}

/// What comes behind a signal, in the same batch.
#[derive(Clone, Copy, Debug)]
enum Taker {
    Wait,
    Binding,
}

/// A thread waits for ever, less urgent than this one, which signals and at once takes the signal or binds
/// the event. Returns what the waiter got, and what this thread did.
fn handed_over(suite: &Suite<'_>, taker: Taker) -> Result<(Status, Status), Status> {
    let machine = Machine::new(suite.system, 0, &[0xf4])?;
    let event = Event::try_new()?;
    let answer = Arc::new(AtomicU32::new(u32::MAX));
    let theirs = answer.clone();
    thread::spawn(0, 1, move || {
        let status = waiters::wait_until(event, u64::MAX).err().unwrap_or(Status::Ok);
        theirs.store(status as u32, Ordering::SeqCst);
    })?;
    waiters::until_waited_for(event, suite.ticks_us)?;
    let pause = Event::try_new()?;
    let second = match taker {
        Taker::Wait => EventWait { deadline_tsc: 0 }.on(event.0),
        Taker::Binding => EventBindVcpu { vcpu: machine.vcpu, bit: 8 }.on(event.0),
    };
    let mut batch = [EventSignal::default().on(event.0), second];
    let mine = syscall::batch(&mut batch).map_or_else(|(status, _)| status, |()| Status::Ok);
    let limit = suite.in_us(10_000_000);
    while answer.load(Ordering::SeqCst) == u32::MAX && syscall::tsc() < limit {
        let _ = pause.wait_until(suite.in_us(1000));
    }
    for handle in [event.0, pause.0, machine.vcpu, machine.vm] {
        process::close(handle)?;
    }
    let theirs = Status::from_code(answer.load(Ordering::SeqCst) as i32).ok_or(Status::NotFound)?;
    Ok((theirs, mine))
}

/// On one processor: a less urgent thread runs only when we wait, an equal one by turns.
fn priorities(suite: &mut Suite<'_>) {
    let flags = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
    let begun: [Result<(), Status>; 2] = [0, 2].map(|priority: u32| {
        let flag = flags[usize::from(priority != 0)].clone();
        thread::spawn(0, priority, move || flag.store(1, Ordering::SeqCst))
    });
    suite.check(begun == [Ok(()), Ok(())], format_args!("two threads: {begun:?}"));
    let seen = |index: usize| flags.get(index).is_some_and(|f| f.load(Ordering::SeqCst) != 0);
    let limit = suite.in_us(500_000);
    while !seen(1) && syscall::tsc() < limit {
        core::hint::spin_loop();
    }
    suite.check(seen(1), format_args!("an equal thread runs while this one spins"));
    suite.check(!seen(0), format_args!("a less urgent one does not"));
    if let Ok(event) = Event::try_new() {
        let _ = event.wait_until(suite.in_us(500_000));
        let _ = process::close(event.0);
    }
    suite.check(seen(0), format_args!("it does while this one waits"));
}
