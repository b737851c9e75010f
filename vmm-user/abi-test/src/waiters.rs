//! Whether a thread waits for an event already: asked, not guessed from how long ago it began.

use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::{process, syscall};

/// How long a thread may take until it waits, in microseconds.
const LIMIT_US: u64 = 20_000_000;
/// A time that is over.
const PAST: u64 = 1;

/// Waits for an event of which somebody asks, by [`until_waited_for`], whether this has begun.
pub fn wait_until(event: Event, deadline_tsc: u64) -> Result<(), Status> {
    loop {
        match event.wait_until(deadline_tsc) {
            // Who asks is the event's waiter himself, for a moment.
            Err(Status::WrongState) => syscall::yield_now(),
            answer => return answer,
        }
    }
}

/// Sleeps until another thread waits for an event by [`wait_until`]: a second waiter is refused.
pub fn until_waited_for(event: Event, ticks_us: u64) -> Result<(), Status> {
    let (pause, limit) = (Event::try_new()?, syscall::tsc() + LIMIT_US * ticks_us);
    while event.wait_until(PAST) != Err(Status::WrongState) {
        if syscall::tsc() > limit {
            return Err(Status::TimedOut);
        }
        let _ = pause.wait_until(syscall::tsc() + 1000 * ticks_us);
    }
    process::close(pause.0)
}
