//! Limits hold, each for its own name space; and arbitrary requests do what a map of names to bytes does.

use alloc::format;
use alloc::vec::Vec;

use super::*;
use crate::limits::{BYTES, FILE_BYTES, FILES, MAPPED};
use crate::model::{Fake, GOOD, run, server};

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

/// The first client, which may write everywhere, and the second one in `a/`, both connected.
fn connected() -> Server<Fake> {
    let mut server = server();
    for key in [7, 8, 9] {
        assert!(server.serve(key, Request::Connect, GOOD).0.is_ok());
    }
    server
}

fn ask(server: &mut Server<Fake>, key: u64, request: Request) -> Reply {
    server.serve(key, request, 0).0
}

fn open(server: &mut Server<Fake>, key: u64, text: &str, mode: Mode) -> Result<u64, Refusal> {
    ask(server, key, Request::Open { name: name(text), mode }).map(|done| done.value)
}

/// Writes a byte at the end of so many.
fn lengthen(server: &mut Server<Fake>, key: u64, file: u64, bytes: u64) -> Reply {
    let piece = Piece { first: bytes - 1, bytes: 1, offset: 0 };
    ask(server, key, Request::Write { file, piece })
}

#[test]
fn settings_are_name_spaces() {
    for (key, value, expected) in [
        ("space.5", "rw", Some(Some((5, true, "")))),
        ("space.5", "r a/b/", Some(Some((5, false, "a/b/")))),
        ("space.5", "r a", Some(None)),
        ("space.5", "r a b/", Some(None)),
        ("space.5", "w a/", Some(None)),
        ("space.x", "r a/", Some(None)),
        ("space.5", "r 0123456789abcdef0123456789abcdef/", Some(None)),
        ("serve", "ram", None),
    ] {
        let expected = expected.map(|space| {
            space.map(|(key, is_written, folder)| Space { key, is_written, folder: folder.into() })
        });
        assert_eq!(Space::parse(key, value), expected, "{key} {value}");
    }
}

#[test]
fn no_client_takes_what_is_anothers() {
    let mut server = connected();
    for number in 0..OPEN {
        assert!(open(&mut server, 7, &format!("f{number}"), Mode::CREATE).is_ok());
    }
    assert_eq!(open(&mut server, 7, "f0", Mode::empty()), Err(Refusal::TooMany));
    assert!(open(&mut server, 8, "f", Mode::CREATE).is_ok());
    for number in OPEN..=FILES {
        // Whoever connects again has nothing open.
        assert!(server.serve(7, Request::Connect, GOOD).0.is_ok());
        let made = open(&mut server, 7, &format!("f{number}"), Mode::CREATE);
        assert_eq!(made.err(), (number == FILES).then_some(Refusal::TooMany), "{number}");
    }
    assert!(open(&mut server, 8, "g", Mode::CREATE).is_ok());
}

#[test]
fn bytes_count_for_who_made_the_file() {
    let mut server = connected();
    let own: Vec<u64> =
        (0..3).map(|number| open(&mut server, 7, &format!("a/f{number}"), Mode::CREATE).unwrap()).collect();
    let room = Err(Refusal::NoRoom);
    assert_eq!(lengthen(&mut server, 7, own[0], FILE_BYTES + 1), room);
    for file in &own[..2] {
        assert!(lengthen(&mut server, 7, *file, FILE_BYTES).is_ok());
    }
    assert_eq!(BYTES, 2 * FILE_BYTES);
    assert_eq!(lengthen(&mut server, 7, own[2], 1), room);
    // The same files by another name space: they may be changed, and get no longer.
    let others = [0, 2].map(|number| open(&mut server, 8, &format!("f{number}"), Mode::WRITE).unwrap());
    assert!(lengthen(&mut server, 8, others[0], 5).is_ok());
    assert_eq!(lengthen(&mut server, 8, others[1], 1), room);
    let file = open(&mut server, 8, "g", Mode::CREATE).unwrap();
    assert!(lengthen(&mut server, 8, file, FILE_BYTES).is_ok());
    assert_eq!(ask(&mut server, 7, Request::Remove { name: name("a/f0") }), Ok(Done::default()));
    assert_eq!(lengthen(&mut server, 8, others[0], 1), Err(Refusal::NotOpen));
    assert!(lengthen(&mut server, 7, own[2], FILE_BYTES).is_ok());
}

#[test]
fn what_another_has_mapped_is_never_used_again() {
    let mut server = connected();
    let map =
        |server: &mut Server<Fake>, key, file| ask(server, key, Request::Map { file, is_written: false });
    for turn in 0..MAPPED {
        let mut file = open(&mut server, 8, "f", Mode::CREATE).unwrap();
        // Own memory is used again, as often as one likes.
        for _ in 0..3 {
            assert!(map(&mut server, 8, file).is_ok(), "{turn}");
            assert!(ask(&mut server, 8, Request::Remove { name: name("f") }).is_ok());
            assert_eq!(map(&mut server, 8, file), Err(Refusal::NotOpen));
            file = open(&mut server, 8, "f", Mode::CREATE).unwrap();
        }
        assert!(map(&mut server, 8, file).is_ok());
        let reader = open(&mut server, 9, "f", Mode::empty()).unwrap();
        assert!(map(&mut server, 9, reader).is_ok());
        assert!(ask(&mut server, 8, Request::Remove { name: name("f") }).is_ok());
    }
    let file = open(&mut server, 8, "f", Mode::CREATE).unwrap();
    assert_eq!(map(&mut server, 8, file), Err(Refusal::TooMany));
    // The reader's own are as they were.
    let reader = open(&mut server, 9, "f", Mode::empty()).unwrap();
    assert!(map(&mut server, 9, reader).is_ok());
}

#[test]
fn without_memory_nothing_is_mapped() {
    let mut server = connected();
    let file = open(&mut server, 7, "boot/one", Mode::empty()).unwrap();
    server.machine().is_full = true;
    assert_eq!(ask(&mut server, 7, Request::Map { file, is_written: false }), Err(Refusal::Failed));
    server.machine().is_full = false;
    for _ in 0..MAPPED + 1 {
        let file = open(&mut server, 7, "boot/one", Mode::empty()).unwrap();
        assert!(ask(&mut server, 7, Request::Map { file, is_written: false }).is_ok());
        assert!(ask(&mut server, 7, Request::Map { file, is_written: false }).is_ok());
        assert!(ask(&mut server, 7, Request::Close { file }).is_ok());
    }
}

/// Knuth's generator (TAOCP 2, 3.3.4), from a seed.
fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn requests_by_chance_do_what_the_model_does() {
    for seed in 0..200 {
        // All clients connect first: most sequences would get nowhere.
        let connects = [[0, 1, 0, 0], [0x10, 1, 0, 0], [0x20, 1, 0, 0]].concat();
        run(&[connects, bytes(seed, 4 * 400)].concat());
    }
}
