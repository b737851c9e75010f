//! A server that says anything gets a client nowhere.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::reply_to_words;

/// A server with a script of replies, each with its handles.
struct Script {
    memory: Vec<AtomicU64>,
    replies: Vec<Returned>,
    asked: Vec<Request>,
    closed: Vec<Handle>,
}

impl Call for Script {
    fn call(&mut self, request: Request, _: Handle) -> Result<Returned, Status> {
        self.asked.push(request);
        Ok(self.replies.remove(0))
    }

    fn memory(&self) -> &[AtomicU64] {
        &self.memory
    }

    fn close(&mut self, handle: Handle) {
        self.closed.push(handle);
    }
}

const FILE: File = File { number: 5, bytes: 100 };

/// A client with two words of memory, all of them ones.
fn client(replies: &[(Result<u64, Refusal>, [Handle; 4])]) -> Client<Script> {
    let words = |reply: &Result<u64, Refusal>| reply_to_words(reply.map(|value| Done { value, bytes: 0 }));
    let replies = replies.iter().map(|(reply, handles)| (words(reply), *handles)).collect();
    let memory = vec![AtomicU64::new(0x0101_0101_0101_0101), AtomicU64::new(0x0202_0202_0202_0202)];
    Client { way: Script { memory, replies, asked: vec![], closed: vec![] } }
}

const NONE: [Handle; 4] = [0; 4];

#[test]
fn more_than_was_asked_for_is_nonsense() {
    for (replies, expected, content) in [
        (&[(Ok(16), NONE), (Ok(4), NONE)][..], Ok(20), 20),
        (&[(Ok(16), NONE), (Ok(0), NONE)], Ok(16), 16),
        (&[(Ok(3), NONE)], Ok(3), 3),
        (&[(Ok(17), NONE)], Err(Failure::Nonsense), 0),
        (&[(Ok(u64::MAX), NONE)], Err(Failure::Nonsense), 0),
        (&[(Ok(16), NONE), (Ok(5), NONE)], Err(Failure::Nonsense), 16),
        (&[(Err(Refusal::NotOpen), NONE)], Err(Failure::Refused(Refusal::NotOpen)), 0),
    ] {
        let (mut client, mut bytes) = (client(replies), [0; 20]);
        assert_eq!(client.read(FILE, 0, &mut bytes), expected, "{replies:?}");
        let expected: Vec<u8> =
            (0..20).map(|at| if at >= content { 0 } else { (at / 8 % 2 + 1) as u8 }).collect();
        assert_eq!(bytes[..], expected, "{replies:?}");
    }
}

#[test]
fn what_was_written_in_part_is_nonsense() {
    let mut good = client(&[(Ok(16), NONE), (Ok(1), NONE)]);
    assert_eq!(good.write(FILE, 3, &[7; 17]), Ok(()));
    let piece = |first, bytes| Piece { first, bytes, offset: 0 };
    assert_eq!(
        good.way.asked,
        [(3, 16), (19, 1)].map(|(first, bytes)| Request::Write { file: 5, piece: piece(first, bytes) })
    );
    for value in [0, 3, 5, u64::MAX] {
        assert_eq!(client(&[(Ok(value), NONE)]).write(FILE, 0, &[1; 4]), Err(Failure::Nonsense), "{value}");
    }
    let mut far = client(&[(Ok(16), NONE)]);
    assert_eq!(far.write(FILE, u64::MAX - 3, &[1; 17]), Err(Failure::Refused(Refusal::NoRoom)));
}

/// No handle that was not asked for stays.
#[test]
fn handles_are_taken_when_they_were_asked_for() {
    for (reply, handles, expected, closed) in [
        (Ok(9), [4, 0, 0, 0], Ok(9), &[][..]),
        (Ok(9), NONE, Err(Failure::Nonsense), &[]),
        (Ok(9), [4, 5, 0, 0], Err(Failure::Nonsense), &[4, 5]),
        (Ok(9), [0, 5, 0, 0], Err(Failure::Nonsense), &[5]),
        (Err(Refusal::NoRoom), [4, 0, 0, 6], Err(Failure::Refused(Refusal::NoRoom)), &[4, 6]),
    ] {
        let mut client = client(&[(reply, handles)]);
        assert_eq!(client.map(FILE, false).map(|(_, bytes)| bytes), expected, "{handles:?}");
        assert_eq!(client.way.closed, closed, "{handles:?}");
    }
    let mut client = client(&[(Ok(1), [7, 8, 0, 0])]);
    assert!(client.open("name", Mode::empty()).is_ok());
    assert_eq!(client.way.closed, [7, 8]);
    assert_eq!(client.open("no name", Mode::empty()), Err(Failure::Refused(Refusal::Wrong)));
}
