//! Messages are what they were, and what makes no sense is no request.

use super::*;

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

fn requests() -> [Request; 10] {
    let piece = Piece { first: 1 << 40, bytes: 77, offset: 8 };
    [
        Request::Connect,
        Request::Open { name: name("a"), mode: Mode::empty() },
        Request::Open { name: name("folder/../b"), mode: Mode::all() },
        Request::Open { name: Name::new(&[b'x'; NAME_MAX]).unwrap(), mode: Mode::WRITE },
        Request::Read { file: u64::MAX, piece },
        Request::Write { file: 1, piece },
        Request::Map { file: 2, is_written: false },
        Request::Map { file: 2, is_written: true },
        Request::Close { file: 3 },
        Request::Remove { name: name("z") },
    ]
}

#[test]
fn requests_are_what_they_were() {
    for request in requests() {
        assert_eq!(Request::from_words(&request.to_words()), Some(request));
    }
}

/// A word that has no meaning is zero; what it was given instead is no request, or another one.
#[test]
fn no_two_messages_ask_the_same() {
    for request in requests() {
        for at in 0..12 {
            let mut words = request.to_words();
            words[at] ^= 1 << 63;
            assert_ne!(Request::from_words(&words), Some(request), "{request:?} word {at}");
        }
    }
    for code in [0, 8, u64::MAX] {
        assert_eq!(Request::from_words(&[code; 12]), None);
    }
    // A mode that there is not.
    let mut words = Request::Open { name: name("a"), mode: Mode::empty() }.to_words();
    words[1] = 8;
    assert_eq!(Request::from_words(&words), None);
}

#[test]
fn names_are_of_letters_that_can_be_seen() {
    for (bytes, expected) in [
        (&b"a"[..], true),
        (b"../../x", true),
        (b"", false),
        (b"a b", false),
        (b"a\0", false),
        (b"\x7f", false),
        (b"\xc3\xa4", false),
        (&[b'x'; NAME_MAX + 1], false),
    ] {
        assert_eq!(Name::new(bytes).is_some(), expected, "{bytes:?}");
    }
    let mut words = Request::Remove { name: name("abc") }.to_words();
    for length in [0, 2, 4, 65, u64::MAX] {
        words[2] = length;
        assert_eq!(Request::from_words(&words), None, "{length}");
    }
}

#[test]
fn replies_are_what_they_were() {
    let done = Done { value: 7, bytes: 9 };
    assert_eq!(reply_from_words(&reply_to_words(Ok(done))), Ok(done));
    for refusal in [
        Refusal::Wrong,
        Refusal::NotConnected,
        Refusal::NotFound,
        Refusal::NotAllowed,
        Refusal::NotOpen,
        Refusal::TooMany,
        Refusal::NoRoom,
        Refusal::Failed,
    ] {
        assert_eq!(reply_from_words(&reply_to_words(Err(refusal))), Err(refusal));
    }
    assert_eq!(reply_from_words(&[u64::MAX; 12]), Err(Refusal::Failed));
}

#[test]
fn pieces_lie_in_the_memory() {
    for (offset, bytes, expected) in [
        (0, 0, Some(0..0)),
        (0, 1, Some(0..1)),
        (8, 9, Some(1..3)),
        (0, 64, Some(0..8)),
        (64, 0, Some(8..8)),
        (0, 65, None),
        (64, 1, None),
        (4, 1, None),
        (72, 0, None),
        (u64::MAX - 7, 8, None),
        (8, u64::MAX, None),
        (8, u64::MAX - 8, None),
    ] {
        let piece = Piece { first: 0, bytes, offset };
        assert_eq!(piece.words(8), expected, "{bytes} at {offset}");
    }
}
