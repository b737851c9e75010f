//! The four system calls that pass messages, by chance: the right object or another, a message anywhere,
//! handles in it, flags that there are and others. A second thread of the process does the same, so that some
//! calls are served.
#![allow(unsafe_code, reason = "messages at addresses by chance")]

use alloc::vec::Vec;

use runtime::abi::message::Message;
use runtime::abi::operation::Handle;
use runtime::abi::status::Status;
use runtime::abi::syscall::{SYS_CALL, SYS_CALL_WORDS, SYS_RECEIVE, SYS_RECEIVE_WORDS};
use runtime::{process, syscall, thread};

use super::{Known, word};
use crate::random::Random;

/// How long a call or a receive waits at most, in ticks: nobody may be there.
const TICKS: u64 = 300_000;
/// Where a thread's message is in the buffer that the operations by chance use too.
const FIRST: u64 = 256;
const SECOND: u64 = 2048;

/// Passes a message by chance. Returns whether the answer was one that there is.
pub fn pass(random: &mut Random, known: &Known<'_>) -> bool {
    at(random, known, known.buffer + FIRST)
}

/// Starts a thread that does nothing but that until the process ends.
pub fn begin_second(handles: &[Handle], buffer: u64, seed: u64) -> Result<(), Status> {
    let handles: Vec<Handle> = handles.into();
    thread::spawn(0, 1, move || {
        let mut random = Random::new(seed + 1000);
        let known = Known { handles: &handles, buffer };
        while at(&mut random, &known, buffer + SECOND) {
            syscall::yield_now();
        }
        syscall::exit(3);
    })
}

fn at(random: &mut Random, known: &Known<'_>, place: u64) -> bool {
    let soon = syscall::tsc() + random.next() % TICKS;
    let soon = random.pick(&[0, 1, soon]);
    let mut message = Message { key: word(random, known), deadline_tsc: soon, ..Message::default() };
    // Mostly none: one bad handle refuses them all.
    for handle in &mut message.handles {
        *handle = if random.below(4) == 0 { random.pick(known.handles) } else { 0 };
    }
    message.words.iter_mut().for_each(|place| *place = word(random, known));
    // SAFETY: the page is this process's own; what others write there meanwhile are messages by chance too.
    unsafe { (place as *mut Message).write_volatile(message) };
    // Elsewhere there is no memory, so no deadline that never comes.
    let address = random.pick(&[place, place, place, place, 0, 8, 0xffff_fe00_0000_0000, u64::MAX - 64]);
    let handle = match random.below(8) {
        0 => random.next(),
        _ => u64::from(random.pick(known.handles)),
    };
    let number = random.pick(&[SYS_CALL, SYS_RECEIVE, SYS_CALL_WORDS, SYS_RECEIVE_WORDS]);
    let flags = random.pick(&[0, 1, 1, 2, u64::MAX]);
    let mut words = [0; 4].map(|_: u64| word(random, known));
    // SAFETY: the kernel writes a message to the buffer, or nowhere.
    let (status, what) = unsafe {
        match number {
            SYS_CALL | SYS_RECEIVE => syscall::raw3(number, handle, address, flags),
            _ => {
                let (status, what, _) = syscall::raw_words(number, handle, address, soon, &mut words);
                (status, what)
            }
        }
    };
    if status == Status::Ok as u64 && (what < 2 || matches!(number, SYS_CALL | SYS_RECEIVE)) {
        // SAFETY: as above.
        let came = unsafe { (place as *const Message).read_volatile() };
        // Or the table is full soon. Another may have written there: then it is another handle that goes.
        let handles = came.handles.into_iter().filter(|handle| *handle != 0);
        handles.for_each(|handle| {
            let _ = process::close(handle);
        });
    }
    Status::from_code(status as i32).is_some() && what <= 2
}
