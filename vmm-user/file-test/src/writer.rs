//! The client that makes files, and asks for what it may not have.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use file_link::client::{Failure, File};
use file_link::{Done, Mode, Refusal, Request, Words, reply_from_words};
use ram_files::limits::{FILE_BYTES, FILES, OPEN};
use runtime::abi::message::Message;
use runtime::abi::operation::Permissions;
use runtime::process;

use crate::{DATA_BYTES, MARK, MARK_WORD, Test, data};

/// How often it connects: far more often than the server would stand, were something left of each time.
const CONNECTIONS: usize = 300;

pub fn run(test: &mut Test) -> Option<()> {
    let early = test.client.open("data", Mode::empty());
    test.expect("a file before it is connected", early, Refusal::NotConnected);
    nonsense(test);
    let may_write = test.client.connect();
    test.check(may_write == Ok(true), format_args!("connecting: {may_write:?}"));
    let none = test.client.open("data", Mode::WRITE);
    test.expect("a file that there is not", none, Refusal::NotFound);
    let outside = test.client.open("../boot/init.conf", Mode::empty());
    test.expect("a name that would lead out", outside, Refusal::NotFound);
    let opened = test.client.open("data", Mode::CREATE);
    let file = test.done("making a file", opened)?;
    write(test, file)?;
    shared(test, file)?;
    limits(test)?;
    for _ in 0..CONNECTIONS {
        let connected = test.client.connect();
        test.done("connecting again", connected)?;
    }
    let stale = test.client.read(file, 0, &mut [0; 8]);
    test.expect("a file of a connection before", stale, Refusal::NotOpen);
    let made = test.client.open("done", Mode::CREATE);
    test.done("the last file", made).map(drop)
}

fn ask(test: &Test, words: Words, handles: [u32; 4]) -> Result<Done, Failure> {
    let deadline_tsc = test.client.way.deadline_tsc;
    let mut message = Message { deadline_tsc, handles, words, ..Message::default() };
    test.channel.call(&mut message).map_err(Failure::Gone)?;
    reply_from_words(&message.words).map_err(Failure::Refused)
}

/// Messages that ask nothing, and memory that is none.
fn nonsense(test: &mut Test) {
    for words in [[0; 12], [8; 12], [u64::MAX; 12], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]] {
        let asked = ask(test, words, [0; 4]);
        test.expect("a message that asks nothing", asked, Refusal::Wrong);
    }
    for handle in [0, test.channel.0] {
        // The channel may not be passed: then there is no call at all.
        let asked = ask(test, Request::Connect.to_words(), [handle, 0, 0, 0]);
        let is_refused = asked == Err(Failure::Refused(Refusal::Wrong));
        let holds = if handle == 0 { is_refused } else { matches!(asked, Err(Failure::Gone(_))) };
        test.check(holds, format_args!("connecting by handle {handle}: {asked:?}"));
    }
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(data).collect()
}

fn write(test: &mut Test, file: File) -> Option<()> {
    let all = bytes(DATA_BYTES);
    let written = test.client.write(file, 0, &all);
    test.done("writing", written)?;
    for (first, count, expected) in [
        (0, DATA_BYTES, DATA_BYTES),
        (1, 7, 7),
        (65_530, 20, 20),
        (DATA_BYTES - 3, 10, 3),
        (DATA_BYTES, 5, 0),
    ] {
        let mut found = vec![0; count];
        let read = test.client.read(file, first as u64, &mut found);
        let holds = read == Ok(expected) && found.get(..expected) == all.get(first..first + expected);
        test.check(holds, format_args!("{count} bytes from {first}: {read:?}"));
    }
    let far = test.client.write(file, FILE_BYTES, &[1]);
    test.expect("writing where no file ends", far, Refusal::NoRoom);
    let wrapping = test.client.write(file, u64::MAX, &[1; 2]);
    test.expect("writing past the last number", wrapping, Refusal::NoRoom);
    let none = test.client.write(File { number: file.number + 1, bytes: 0 }, 0, &[1]);
    test.expect("writing to no file", none, Refusal::NotOpen);
    Some(())
}

/// What is written by one way is read by the other.
fn shared(test: &mut Test, file: File) -> Option<()> {
    let mapped = test.client.map(file, true);
    let (memory, size) = test.done("mapping", mapped)?;
    test.check(size == DATA_BYTES as u64, format_args!("{size} bytes are mapped"));
    let mapping = memory.map(Permissions::READ | Permissions::WRITE).map_err(Failure::Gone);
    let mapping = test.done("mapping it to be written", mapping)?;
    let word = mapping.words().get(MARK_WORD)?;
    word.store(MARK, Ordering::Relaxed);
    let mut found = [0; 8];
    let read = test.client.read(file, 8 * MARK_WORD as u64, &mut found);
    let holds = read == Ok(8) && found == MARK.to_le_bytes();
    test.check(holds, format_args!("what was written to mapped memory: {read:?}, {found:x?}"));
    let written = test.client.write(file, 8, &[0xa5; 8]);
    test.done("writing what is mapped", written)?;
    let found = mapping.words().get(1)?.load(Ordering::Relaxed);
    test.check(found == u64::from_le_bytes([0xa5; 8]), format_args!("it is not seen: {found:x}"));
    let restored = test.client.write(file, 8, bytes(16).get(8..)?);
    test.done("writing it again", restored)?;
    let closed = process::close(memory.0).map_err(Failure::Gone);
    test.done("closing the memory", closed)
}

/// As many files as there may be, made and open, and then some more.
fn limits(test: &mut Test) -> Option<()> {
    // Connecting closes what is open.
    for number in 1..FILES {
        if number % OPEN == 1 {
            let connected = test.client.connect();
            test.done("connecting", connected)?;
        }
        let made = test.client.open(&format!("f{number}"), Mode::CREATE);
        test.done("a file of many", made)?;
    }
    let connected = test.client.connect();
    test.done("connecting", connected)?;
    let more = test.client.open("more", Mode::CREATE);
    test.expect("one file too many", more, Refusal::TooMany);
    for _ in 0..OPEN {
        let opened = test.client.open("f1", Mode::empty());
        test.done("opening one again", opened)?;
    }
    let more = test.client.open("f1", Mode::empty());
    test.expect("one open file too many", more, Refusal::TooMany);
    for number in 1..FILES {
        let removed = test.client.remove(&format!("f{number}"));
        test.done("removing", removed)?;
    }
    let again = test.client.remove("f1");
    test.expect("removing it again", again, Refusal::NotFound);
    Some(())
}
