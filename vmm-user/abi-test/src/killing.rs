//! A process that another one ends: wherever its threads are, it is over, with the code it was given.

use runtime::abi::message::Message;
use runtime::abi::operation::{HANDLE_SELF, Handle, ProcessEnd};
use runtime::abi::status::Status;
use runtime::channel::Endpoint;
use runtime::event::Event;
use runtime::{Start, call, process, syscall, thread};

use crate::child::{self, Child};
use crate::suite::Suite;

/// The code that it is given; its highest bit is not for those who end.
const CODE: u32 = 0x8000_0055;

/// What the kernel may have kept of ended threads for the next ones: it keeps the stack of a place where a
/// thread was. A process that is kept would be more.
const STACKS_BYTES: u64 = 4 * 5 * 4096;

/// The child: two threads, perhaps on two processors, that are at something which never comes to an end.
pub fn victim(start: &Start) -> u32 {
    let Some(at) = At::of(start.setting("at").unwrap_or("")) else { return 1 };
    let other = child::number(start, "other") as u32;
    let beside = move || {
        let _ = for_ever(at);
    };
    if thread::spawn(other, 1, beside).is_err() {
        return 2;
    }
    // Comes back only when it could not go on.
    for_ever(at).err().map_or(0, |status| status as u32)
}

/// What a child is at when it is ended.
#[derive(Clone, Copy)]
enum At {
    Work,
    Yield,
    Wait,
    Receive,
    Call,
}

/// By name.
const ALL: [(&str, At); 5] = [
    ("work", At::Work),
    ("yield", At::Yield),
    ("wait", At::Wait),
    ("receive", At::Receive),
    ("call", At::Call),
];

impl At {
    fn of(name: &str) -> Option<Self> {
        ALL.iter().find(|(known, _)| *known == name).map(|(_, at)| *at)
    }
}

fn for_ever(at: At) -> Result<(), Status> {
    let mut message = Message { deadline_tsc: u64::MAX, ..Message::default() };
    match at {
        At::Work => loop {
            core::hint::spin_loop();
        },
        At::Yield => loop {
            syscall::yield_now();
        },
        At::Wait => Event::try_new()?.wait(),
        At::Receive => Endpoint::try_new()?.receive(&mut message).map(|_| ()),
        // Nobody receives there.
        At::Call => Endpoint::try_new()?.channel(0)?.call(&mut message),
    }
}

fn end(handle: Handle) -> Result<(), Status> {
    call(handle, ProcessEnd { code: CODE, reserved: 0 }).map(|_| ())
}

/// Ends a child that has had time to get where it is to be, or none; returns its state and its code.
fn ended(suite: &Suite<'_>, name: &str, waits: bool) -> Result<(u32, u32), Status> {
    let child = Child::new(suite, "victim")?.set("at", name).set("other", suite.cpus - 1).start(0, 1)?;
    if waits {
        // Until it has run: what it does then, it does for ever.
        let event = Event::try_new()?;
        let _ = event.wait_until(suite.in_us(20_000));
        process::close(event.0)?;
    }
    end(child.handle)?;
    // It may be on its way still.
    let again = end(child.handle);
    let state = child.join(suite)?;
    match again {
        Ok(()) | Err(Status::WrongState) => Ok((state.state, state.code)),
        Err(status) => Err(status),
    }
}

/// Every place, at once and later; and those that can't be ended.
pub fn test(suite: &mut Suite<'_>) {
    // What the first one takes of this process's heap stays.
    let first = ended(suite, "work", true).map(|(state, _)| state);
    suite.check(first == Ok(2), format_args!("the first one: {first:?}"));
    let free = suite.free_bytes();
    for (name, _) in ALL {
        for waits in [false, true] {
            let found = ended(suite, name, waits);
            let expected = Ok((2, CODE & 0x7fff_ffff));
            suite.check(found == expected, format_args!("ended at {name}, after a while {waits}: {found:?}"));
        }
    }
    let deadline = suite.in_us(5_000_000);
    while suite.free_bytes() + STACKS_BYTES < free && syscall::tsc() < deadline {
        syscall::yield_now();
    }
    let now = suite.free_bytes();
    suite.check(now + STACKS_BYTES >= free, format_args!("{now} of {free} bytes are free"));
    let new = Child::new(suite, "nothing").map(|child| (end(child.handle), child.forget()));
    suite.check(new == Ok((Err(Status::WrongState), Ok(()))), format_args!("ending a new process: {new:?}"));
    let itself = Child::new(suite, "end-itself").and_then(|child| child.start(0, 1)?.join(suite));
    let code = itself.map(|state| state.code);
    suite.check(code == Ok(CODE & 0x7fff_ffff), format_args!("a process that ends itself so: {code:?}"));
}

/// The child that ends itself by the operation: nothing behind it is executed.
pub fn ends_itself() -> u32 {
    let result = end(HANDLE_SELF);
    log::error!("a process that has ended itself goes on: {result:?}");
    3
}
