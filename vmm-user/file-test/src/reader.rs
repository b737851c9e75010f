//! The client that may read everything: what the writer left, and the files of the image.

use alloc::vec;
use core::sync::atomic::Ordering;

use file_link::client::{Failure, File};
use file_link::{Mode, Refusal};
use runtime::abi::operation::Permissions;
use runtime::abi::status::Status;
use runtime::syscall;

use crate::{DATA_BYTES, MARK, MARK_WORD, Test, data};

pub fn run(test: &mut Test) -> Option<()> {
    let may_write = test.client.connect();
    test.check(may_write == Ok(false), format_args!("connecting: {may_write:?}"));
    image(test)?;
    wait_for_the_writer(test)?;
    let opened = test.client.open("a/data", Mode::empty());
    let file = test.done("the writer's file", opened)?;
    test.check(file.bytes == DATA_BYTES as u64, format_args!("it has {} bytes", file.bytes));
    contents(test, file)?;
    for mode in [Mode::WRITE, Mode::CREATE, Mode::TRUNCATE, Mode::all()] {
        let opened = test.client.open("a/data", mode);
        test.expect("opening it to be written", opened, Refusal::NotAllowed);
    }
    let removed = test.client.remove("a/data");
    test.expect("removing it", removed, Refusal::NotAllowed);
    let written = test.client.write(file, 0, &[1]);
    test.expect("writing it", written, Refusal::NotAllowed);
    let mapped = test.client.map(file, true);
    test.expect("mapping it to be written", mapped.map(|_| ()), Refusal::NotAllowed);
    let gone = test.client.open("a/f1", Mode::empty());
    test.expect("a file that was removed", gone, Refusal::NotFound);
    let closed = test.client.close(file);
    test.done("closing it", closed)?;
    let again = test.client.close(file);
    test.expect("closing it again", again, Refusal::NotOpen);
    Some(())
}

/// The writer makes its last file when all others are as they are to be.
fn wait_for_the_writer(test: &mut Test) -> Option<()> {
    let deadline = syscall::tsc().saturating_add(60 * test.ticks_second);
    loop {
        match test.client.open("a/done", Mode::empty()) {
            Err(Failure::Refused(Refusal::NotFound)) if syscall::tsc() < deadline => syscall::yield_now(),
            opened => return test.done("the writer's last file", opened).map(drop),
        }
    }
}

/// As it is read, and as it is mapped: the same, and nobody writes to what is mapped here.
fn contents(test: &mut Test, file: File) -> Option<()> {
    let expected = |at: usize| match at.checked_sub(8 * MARK_WORD) {
        Some(at @ 0..8) => MARK.to_le_bytes()[at],
        _ => data(at),
    };
    let mut found = vec![0; DATA_BYTES];
    let read = test.client.read(file, 0, &mut found);
    let wrong = found.iter().enumerate().find(|(at, byte)| **byte != expected(*at)).map(|(at, _)| at);
    test.check(read == Ok(DATA_BYTES) && wrong.is_none(), format_args!("reading: {read:?}, byte {wrong:?}"));
    let mapped = test.client.map(file, false);
    let (memory, _) = test.done("mapping", mapped)?;
    let written = memory.map(Permissions::READ | Permissions::WRITE).err();
    test.check(written == Some(Status::NoRight), format_args!("mapping it to be written: {written:?}"));
    let mapping = memory.map(Permissions::READ).map_err(Failure::Gone);
    let mapping = test.done("mapping it to be read", mapping)?;
    let bytes = mapping.words().iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
    let wrong = bytes.take(DATA_BYTES).enumerate().find(|(at, byte)| *byte != expected(*at));
    test.check(wrong.is_none(), format_args!("what is mapped differs: {wrong:?}"));
    Some(())
}

/// The image's own files, which the configuration is one of.
fn image(test: &mut Test) -> Option<()> {
    let opened = test.client.open("boot/init.conf", Mode::empty());
    let file = test.done("the configuration", opened)?;
    let mut text = vec![0; usize::try_from(file.bytes).ok()?];
    let read = test.client.read(file, 0, &mut text);
    let line = b"process ram-files\n";
    let is_it = read == Ok(text.len()) && text.windows(line.len()).any(|part| part == line);
    test.check(is_it, format_args!("{} bytes, {read:?}, are not the configuration", text.len()));
    let mapped = test.client.map(file, false);
    let (memory, size) = test.done("mapping the configuration", mapped)?;
    let mapping = memory.map(Permissions::READ).map_err(Failure::Gone);
    let mapping = test.done("mapping it to be read", mapping)?;
    let bytes = mapping.words().iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
    let same = bytes.zip(&text).filter(|(found, byte)| found == *byte).count();
    test.check(size == file.bytes && same == text.len(), format_args!("{same} of {size} bytes are the same"));
    for name in ["boot/none", "boot/", "init.conf"] {
        let opened = test.client.open(name, Mode::empty());
        test.expect(name, opened, Refusal::NotFound);
    }
    let written = test.client.open("boot/init.conf", Mode::WRITE);
    test.expect("opening it to be written", written, Refusal::NotAllowed);
    // A program is more than is mapped.
    let opened = test.client.open("boot/file-test", Mode::empty());
    let program = test.done("a program", opened)?;
    let mut magic = [0; 4];
    let read = test.client.read(program, 0, &mut magic);
    test.check(read == Ok(4) && magic == *b"\x7fELF", format_args!("{read:?}, {magic:x?}"));
    Some(())
}
