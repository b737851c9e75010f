//! A server that does what it is told by the first word of a call: also what a server must not do. And a
//! client that calls once.

use runtime::abi::message::Message;
use runtime::abi::status::Status;
use runtime::channel::{Channel, Endpoint, Received};
use runtime::event::Event;
use runtime::{Start, process, syscall, thread};

use crate::child;

/// Replies with all words plus one, and the key in the last.
pub const ADD: u64 = 1;
/// Ends the process without a reply.
pub const END: u64 = 2;
/// Faults instead of a reply.
pub const FAULT: u64 = 3;
/// Receives the next call without a reply to this one.
pub const DROP: u64 = 4;
/// Signals the event that was passed first, closes all that were passed, and replies.
pub const SIGNAL: u64 = 5;
/// Replies with a new event four times over.
pub const GIVE: u64 = 6;
/// Replies with a handle that is none, then with its number's status.
pub const GIVE_NONE: u64 = 7;
/// Waits for 50 ms before it replies.
pub const SLEEP: u64 = 8;
/// Replies with how many of its handles are free.
pub const FREE: u64 = 9;
/// Ends the thread that serves, and the process a little later.
pub const END_THREAD: u64 = 10;
/// Fills its handle table, replies, and empties it at the next call.
pub const FILL: u64 = 11;
/// Runs the vCPU whose handle is the second word, and replies with the status in it.
pub const RUN: u64 = 12;

/// What a server remembers.
#[derive(Default)]
struct State {
    filled: alloc::vec::Vec<Event>,
}

fn fill() -> alloc::vec::Vec<Event> {
    core::iter::from_fn(|| Event::try_new().ok()).collect()
}

fn sleep(ticks: u64) {
    if let Ok(event) = Event::try_new() {
        let _ = event.wait_until(syscall::tsc() + ticks);
        let _ = process::close(event.0);
    }
}

impl State {
    /// Does what a call wants. `false`: there is no reply.
    fn serve(&mut self, endpoint: Endpoint, message: &mut Message, ticks_ms: u64) -> bool {
        let handles = core::mem::take(&mut message.handles);
        match message.words[0] {
            ADD => {
                message.words.iter_mut().for_each(|word| *word = word.wrapping_add(1));
                message.words[11] = message.key;
            }
            END => syscall::exit(0),
            FAULT => {
                // SAFETY: faults.
                #[allow(unsafe_code, reason = "a fault is what is wanted")]
                unsafe {
                    core::arch::asm!("ud2")
                };
            }
            DROP => return false,
            SIGNAL => {
                let signalled = Event(handles[0]).signal();
                message.words[1] = signalled.err().unwrap_or(Status::Ok) as u64;
                handles.iter().filter(|handle| **handle != 0).for_each(|handle| {
                    let _ = process::close(*handle);
                });
            }
            GIVE => {
                message.handles = [Event::try_new().map_or(0, |event| event.0); 4];
            }
            GIVE_NONE => {
                message.handles = [95, 0, 0, 0];
                message.words[1] = match endpoint.reply_and_receive(message) {
                    Err(status) => status as u64,
                    Ok(_) => 0,
                };
                message.handles = [0; 4];
            }
            SLEEP => sleep(50 * ticks_ms),
            FREE => {
                let events = fill();
                message.words[1] = events.len() as u64;
                events.iter().for_each(|event| {
                    let _ = process::close(event.0);
                });
            }
            FILL => self.filled = fill(),
            RUN => {
                // SAFETY: this process has no vCPU.
                #[allow(unsafe_code, reason = "a handle that should be none")]
                let (code, _) = unsafe { syscall::raw_run(message.words[1]) };
                message.words[1] = code;
            }
            _ => {}
        }
        true
    }
}

/// The server. A reply is waited for until the other side wants more: for ever.
pub fn serve(start: &Start) -> u32 {
    let Some(endpoint) = start.handle("endpoint").map(Endpoint) else { return 1 };
    let ticks_ms = child::number(start, "ticks-ms").max(1);
    run(endpoint, ticks_ms)
}

/// The loop of a server, in whatever process.
pub fn run(endpoint: Endpoint, ticks_ms: u64) -> u32 {
    let mut state = State::default();
    let mut message = Message { deadline_tsc: u64::MAX, ..Message::default() };
    let mut received = endpoint.receive(&mut message);
    loop {
        if received != Ok(Received::Call) {
            return 2;
        }
        for event in state.filled.drain(..) {
            let _ = process::close(event.0);
        }
        if message.words[0] == END_THREAD {
            let spawned = thread::spawn(0, 0, move || {
                sleep(50 * ticks_ms);
                syscall::exit(0);
            });
            return match spawned {
                Ok(()) => thread::exit(),
                Err(_) => 3,
            };
        }
        let replies = state.serve(endpoint, &mut message, ticks_ms);
        message.deadline_tsc = u64::MAX;
        received = match replies {
            true => endpoint.reply_and_receive(&mut message),
            false => endpoint.receive(&mut message),
        };
    }
}

/// The client: calls with a command; its exit code is the status, as far as the number goes.
pub fn client(start: &Start) -> u32 {
    let Some(channel) = start.handle("channel").map(Channel) else { return 1000 };
    let mut message = Message { deadline_tsc: u64::MAX, ..Message::default() };
    message.words[0] = child::number(start, "command");
    // Another thread that ends the process while this one waits.
    let ticks = child::number(start, "end-after");
    if ticks != 0 {
        let spawned = thread::spawn(child::number(start, "end-cpu") as u32, 1, move || {
            sleep(ticks);
            syscall::exit(77);
        });
        if spawned.is_err() {
            return 1001;
        }
    }
    channel.call(&mut message).err().unwrap_or(Status::Ok) as u32 & 0xffff
}
