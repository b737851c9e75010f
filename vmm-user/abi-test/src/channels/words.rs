//! Messages in registers: what arrives is what was sent, whichever of the two sides has its in memory; and
//! what else is in registers afterwards.
#![allow(unsafe_code, reason = "system calls whose every register is looked at")]

use runtime::abi::message::{Message, REGISTER_WORDS};
use runtime::abi::operation::Handle;
use runtime::abi::status::Status;
use runtime::abi::syscall::{SYS_CALL_WORDS, SYS_RECEIVE_WORDS};
use runtime::channel::{Arrived, Came, Endpoint, Received};
use runtime::event::Event;
use runtime::{process, syscall, thread};

use super::{LOST_US, Served, command, server};
use crate::suite::Suite;

const ROUNDS: u64 = 2000;
/// First words that a server here knows: it adds one to each word, ends, or replies with a whole message.
const ADD: u64 = 1;
const END: u64 = 2;
const WHOLE: u64 = 3;
const KEY: u64 = 0x1234_5678_9abc_def0;

type Words = [u64; REGISTER_WORDS];

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    for cpu in [0, suite.cpus - 1] {
        let answer = between_words(suite, cpu);
        suite.check(answer == Ok(()), format_args!("words to a server of words on cpu{cpu}: {answer:?}"));
        let answer = to_memory(suite, cpu);
        suite.check(answer == Ok(()), format_args!("words to a server of messages on cpu{cpu}: {answer:?}"));
    }
    arguments(suite);
    let answer = notified(suite);
    let want = Ok((Arrived::Message(Received::Notification), 9));
    suite.check(answer == want, format_args!("a notification behind a reply of words: {answer:?}"));
}

/// A server on a processor, until it is told to end.
fn serve(endpoint: Endpoint, cpu: u32) -> Result<(), Status> {
    thread::spawn(cpu, 1, move || {
        let mut message = Message { deadline_tsc: u64::MAX, ..Message::default() };
        let mut words: Words = [0; REGISTER_WORDS];
        let mut arrived = endpoint.receive(&mut message).map(Arrived::Message);
        loop {
            match arrived {
                Ok(Arrived::Words { key }) => words[3] ^= key,
                Ok(Arrived::Message(Received::Call)) => {
                    words = message.words.first_chunk().copied().unwrap_or_default();
                    words[3] ^= message.key;
                }
                _ => return,
            }
            let what = words[0];
            words.iter_mut().for_each(|word| *word = word.wrapping_add(1));
            arrived = if what == WHOLE {
                message = Message { deadline_tsc: u64::MAX, words: [5; 12], ..Message::default() };
                endpoint.reply_and_receive(&mut message).map(Arrived::Message)
            } else {
                let deadline_tsc = if what == END { 0 } else { u64::MAX };
                endpoint.reply_words_and_receive(&mut words, &mut message, deadline_tsc)
            };
        }
    })
}

fn between_words(suite: &Suite<'_>, cpu: u32) -> Result<(), Status> {
    let endpoint = Endpoint::try_new()?;
    let channel = endpoint.channel(KEY)?;
    serve(endpoint, cpu)?;
    let untouched = Message { key: 1, deadline_tsc: 2, handles: [3; 4], words: [4; 12] };
    for round in 0..ROUNDS {
        let (mut words, mut message) = ([ADD, round, u64::MAX, KEY ^ round], untouched);
        let deadline = if round % 2 == 0 { u64::MAX } else { suite.in_us(LOST_US) };
        let came = channel.call_words(&mut words, &mut message, deadline)?;
        if (came, words, message) != (Came::Words, [ADD + 1, round + 1, 0, round + 1], untouched) {
            log::error!("round {round}: {came:?} {words:x?}");
            return Err(Status::HostFault);
        }
    }
    // The reply has more than that: it is in the message, and the words are as they were.
    let (sent, mut message) = ([WHOLE, 2, 3, 4], untouched);
    let mut words = sent;
    let came = channel.call_words(&mut words, &mut message, suite.in_us(LOST_US))?;
    let whole = Message { words: [5; 12], ..Message::default() };
    if (came, words, message) != (Came::Message, sent, whole) {
        return Err(Status::HostFault);
    }
    // A whole message to the same server, and its reply of words: the rest of the message is zero.
    let mut message = command(suite, ADD);
    message.words = [ADD, 7, 7, KEY, 7, 7, 7, 7, 7, 7, 7, 7];
    channel.call(&mut message)?;
    let [one, two, three, four] = [ADD + 1, 8, 8, 1];
    if message != (Message { words: [one, two, three, four, 0, 0, 0, 0, 0, 0, 0, 0], ..Message::default() }) {
        log::error!("{message:x?}");
        return Err(Status::HostFault);
    }
    channel.call_words(&mut [END, 0, 0, 0], &mut message, suite.in_us(LOST_US))?;
    [endpoint.0, channel.0].into_iter().try_for_each(process::close)
}

/// A server that knows of no registers: a call of words is a message to it, whose other words are zero.
fn to_memory(suite: &Suite<'_>, cpu: u32) -> Result<(), Status> {
    let served = Served::new(suite, cpu, 1)?;
    for round in 0..ROUNDS {
        let (mut words, mut message) = ([server::ADD, round, 5, 6], Message::default());
        let came = served.channel.call_words(&mut words, &mut message, suite.in_us(LOST_US))?;
        let want = [server::ADD + 1, round + 1, 6, 7, 1, 1, 1, 1, 1, 1, 1, 7];
        if (came, message) != (Came::Message, Message { words: want, ..Message::default() }) {
            log::error!("round {round}: {came:?} {message:x?}");
            return Err(Status::HostFault);
        }
    }
    if served.end(suite)? == 0 { Ok(()) } else { Err(Status::HostFault) }
}

/// RDI, RSI, R8, R9, R10 and R12 behind a call with these words, and its status.
fn raw(number: u64, handle: u64, deadline_tsc: u64, words: Words) -> (Status, [u64; 6]) {
    let mut message = Message::default();
    let (code, mut rdi, mut rsi): (u64, u64, u64) = (number, handle, &raw mut message as u64);
    let [mut r8, mut r9, mut r10, mut r12] = words;
    // SAFETY: the kernel writes to the message; all registers that a call changes are named.
    let code = unsafe {
        let status: u64;
        core::arch::asm!(
            "syscall",
            inlateout("rax") code => status,
            inlateout("rdi") rdi,
            inlateout("rsi") rsi,
            inlateout("rdx") deadline_tsc => _,
            inlateout("r8") r8,
            inlateout("r9") r9,
            inlateout("r10") r10,
            inlateout("r12") r12,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
        status
    };
    (Status::from_code(code as i32).unwrap_or(Status::HostFault), [rdi, rsi, r8, r9, r10, r12])
}

/// What is refused, and calls that nobody takes: with the words as they were, and nothing of the kernel's in
/// the other registers.
fn arguments(suite: &mut Suite<'_>) {
    let made = Endpoint::try_new().and_then(|endpoint| Ok((endpoint, endpoint.channel(1)?)));
    let Ok((endpoint, channel)) = made else { return suite.check(false, format_args!("an endpoint")) };
    let words = [11, 12, 13, 14];
    let [soon, past] = [suite.in_us(2000), 1];
    let (call, receive) = (SYS_CALL_WORDS, SYS_RECEIVE_WORDS);
    let of = |handle: Handle| u64::from(handle);
    for (number, handle, deadline_tsc, want) in [
        (call, 0, soon, Status::BadHandle),
        (call, 1, soon, Status::BadHandle),
        (call, 95, soon, Status::BadHandle),
        (call, of(endpoint.0), soon, Status::BadHandle),
        (call, of(channel.0) | 1 << 32, soon, Status::BadHandle),
        (call, u64::MAX, soon, Status::BadHandle),
        (receive, 0, soon, Status::BadHandle),
        (receive, of(channel.0), soon, Status::BadHandle),
        (receive, of(endpoint.0) | 1 << 63, soon, Status::BadHandle),
        (call, of(channel.0), 0, Status::TimedOut),
        (call, of(channel.0), past, Status::TimedOut),
        (call, of(channel.0), soon, Status::TimedOut),
        (receive, of(endpoint.0), 0, Status::TimedOut),
        (receive, of(endpoint.0), past, Status::TimedOut),
        (receive, of(endpoint.0), suite.in_us(4000), Status::TimedOut),
    ] {
        let (got, left) = raw(number, handle, deadline_tsc, words);
        let is_late = want != Status::TimedOut || syscall::tsc() >= deadline_tsc;
        suite.check(
            (got, left) == (want, [0, 0, 11, 12, 13, 14]) && is_late,
            format_args!("call {number} by {handle:#x} until {deadline_tsc}: {got:?}, {left:x?}"),
        );
    }
    let served = serve(endpoint, 0);
    suite.expect(served, Status::Ok, format_args!("a server"));
    for (words, want) in [([ADD, 0, 0, 1], [0, 0, 2, 1, 1, 1]), ([END, 0, 0, 1], [0, 0, 3, 1, 1, 1])] {
        let answer = raw(call, of(channel.0), suite.in_us(LOST_US), words);
        suite.check(answer == (Status::Ok, want), format_args!("registers behind a call: {answer:x?}"));
    }
    for handle in [endpoint.0, channel.0] {
        suite.expect(process::close(handle), Status::Ok, format_args!("closing {handle}"));
    }
}

/// A thread that replies by words to nobody gets the notification that waits.
fn notified(suite: &Suite<'_>) -> Result<(Arrived, u64), Status> {
    let (endpoint, event) = (Endpoint::try_new()?, Event::try_new()?);
    endpoint.bind(event, 9)?;
    event.signal()?;
    let mut message = Message { words: [8; 12], ..Message::default() };
    let arrived = endpoint.reply_words_and_receive(&mut [1; 4], &mut message, suite.in_us(LOST_US))?;
    if message != (Message { key: 9, ..Message::default() }) {
        return Err(Status::HostFault);
    }
    [endpoint.0, event.0].into_iter().try_for_each(process::close)?;
    Ok((arrived, message.key))
}
