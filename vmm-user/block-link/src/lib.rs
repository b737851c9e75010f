//! How processes talk about the blocks of a disk: a client calls a channel, and its data lie in memory that
//! it shares with the server.
//!
//! The first call is CONNECT: it passes the shared memory, and its reply says what the disk is like. Each
//! other call is one request, whose data begin at an offset of that memory. A call comes back when its
//! request is done; what was written is on the disk when a later FLUSH has come back. Neither side believes
//! the other: what a message says is checked, and the data are whatever they are.
//!
//! A message's words, with those that a request does not use zero:
//!
//! | request | 0 | 1 | 2 | 3 |
//! |---|---|---|---|---|
//! | CONNECT | 1 | | | |
//! | READ | 2 | first sector | sectors | offset in the memory, in bytes |
//! | WRITE | 3 | the same | | |
//! | FLUSH | 4 | | | |
//! | DISCARD | 5 | first sector | sectors | |
//!
//! | reply | 0 | 1 | 2 |
//! |---|---|---|---|
//! | done | 0 | of CONNECT: how many sectors there are | of CONNECT: [`Abilities`] |
//! | not done | why: [`Refusal`] | | |
#![no_std]
#![forbid(unsafe_code)]

pub mod client;

use bitflags::bitflags;

/// The words of a message.
pub type Words = [u64; 12];

/// Bytes of a sector.
pub const SECTOR_BYTES: u64 = 512;

bitflags! {
    /// What a disk can do.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Abilities: u64 {
        /// It may be written.
        const WRITE = 1 << 0;
        /// It may be told that sectors are not needed any more.
        const DISCARD = 1 << 1;
    }
}

/// Sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sectors {
    /// The first one.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The memory for the data is the first handle of the message.
    Connect,
    /// From the disk to the memory.
    Read {
        /// Which.
        sectors: Sectors,
        /// Where in the memory.
        offset: u64,
    },
    /// From the memory to the disk.
    Write {
        /// Which.
        sectors: Sectors,
        /// Where in the memory.
        offset: u64,
    },
    /// All that was written is to be on the disk.
    Flush,
    /// These are not needed any more.
    Discard(Sectors),
}

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Refusal {
    /// The disk failed.
    Failed = 1,
    /// There is no such request, or there are no such sectors or memory.
    Wrong = 2,
    /// The disk does not do that.
    Unable = 3,
    /// CONNECT comes first.
    NotConnected = 4,
}

/// What a disk is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// How many sectors it has.
    pub capacity: u64,
    /// What it can do.
    pub abilities: Abilities,
}

/// A reply; what the disk is like only in one to CONNECT.
pub type Reply = Result<Option<Disk>, Refusal>;

impl Request {
    /// As a message has it.
    pub fn to_words(&self) -> Words {
        let mut words = Words::default();
        let (code, sectors, offset) = match *self {
            Self::Connect => (1, None, 0),
            Self::Read { sectors, offset } => (2, Some(sectors), offset),
            Self::Write { sectors, offset } => (3, Some(sectors), offset),
            Self::Flush => (4, None, 0),
            Self::Discard(sectors) => (5, Some(sectors), 0),
        };
        let Sectors { first, count } = sectors.unwrap_or(Sectors { first: 0, count: 0 });
        // What a request does not use is zero, so that there is one message for each request.
        words[..4].copy_from_slice(&[code, first, count, offset]);
        words
    }

    /// What a message asks, if it asks anything.
    pub fn from_words(words: &Words) -> Option<Self> {
        let [code, first, count, offset, rest @ ..] = *words;
        let sectors = Sectors { first, count };
        let request = match code {
            1 => Self::Connect,
            2 => Self::Read { sectors, offset },
            3 => Self::Write { sectors, offset },
            4 => Self::Flush,
            5 => Self::Discard(sectors),
            _ => return None,
        };
        // Exactly what `to_words` writes: words that have no meaning are zero, or the client means something
        // else.
        (rest == [0; 8] && request.to_words() == *words).then_some(request)
    }
}

impl Sectors {
    /// Whether a disk has them all, and there is one at least.
    pub fn are_of(self, disk: &Disk) -> bool {
        // Checked: both numbers are a client's.
        self.count > 0 && self.first.checked_add(self.count).is_some_and(|end| end <= disk.capacity)
    }

    /// The words of a memory of so many bytes that their data take from an offset on, as indices. `None`: the
    /// memory does not have them all, or the offset is no multiple of eight.
    pub fn words(self, offset: u64, bytes: u64) -> Option<core::ops::Range<usize>> {
        // Checked, as a client may give any numbers: a sum that wrapped would lie within the memory.
        let end = self.count.checked_mul(SECTOR_BYTES)?.checked_add(offset)?;
        let index = |at: u64| usize::try_from(at / 8).ok();
        let is_there = offset.is_multiple_of(8) && end <= bytes;
        if is_there { Some(index(offset)?..index(end)?) } else { None }
    }
}

/// A reply as a message has it.
pub fn reply_to_words(reply: Reply) -> Words {
    let mut words = Words::default();
    match reply {
        Ok(None) => {}
        Ok(Some(disk)) => words[1..3].copy_from_slice(&[disk.capacity, disk.abilities.bits()]),
        Err(refusal) => words[0] = refusal as u64,
    }
    words
}

/// What a message replies. A refusal that there is not is a disk that failed.
pub fn reply_from_words(words: &Words) -> Result<Disk, Refusal> {
    match words[0] {
        // An ability that this client does not know is of no use to it.
        0 => Ok(Disk { capacity: words[1], abilities: Abilities::from_bits_truncate(words[2]) }),
        2 => Err(Refusal::Wrong),
        3 => Err(Refusal::Unable),
        4 => Err(Refusal::NotConnected),
        // A number that no server says is a failure like any: the client can do no more about it.
        _ => Err(Refusal::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTORS: Sectors = Sectors { first: 1 << 40, count: 8 };

    #[test]
    fn requests_are_what_they_were() {
        for request in [
            Request::Connect,
            Request::Read { sectors: SECTORS, offset: 4096 },
            Request::Write { sectors: SECTORS, offset: 0 },
            Request::Flush,
            Request::Discard(SECTORS),
        ] {
            assert_eq!(Request::from_words(&request.to_words()), Some(request));
        }
    }

    #[test]
    fn what_asks_nothing() {
        for words in [
            [0u64; 5],
            [6, 0, 0, 0, 0],
            [u64::MAX; 5],
            [4, 1, 0, 0, 0],
            [1, 0, 0, 8, 0],
            [5, 1, 1, 8, 0],
            [2, 0, 1, 0, 1],
        ] {
            let mut all = Words::default();
            all[..5].copy_from_slice(&words);
            assert_eq!(Request::from_words(&all), None, "{words:?}");
        }
    }

    #[test]
    fn replies_are_what_they_were() {
        let disk = Disk { capacity: 77, abilities: Abilities::WRITE };
        assert_eq!(reply_from_words(&reply_to_words(Ok(Some(disk)))), Ok(disk));
        assert_eq!(reply_from_words(&reply_to_words(Ok(None))).map(|disk| disk.capacity), Ok(0));
        for refusal in [Refusal::Failed, Refusal::Wrong, Refusal::Unable, Refusal::NotConnected] {
            assert_eq!(reply_from_words(&reply_to_words(Err(refusal))), Err(refusal));
        }
        assert_eq!(reply_from_words(&[u64::MAX; 12]), Err(Refusal::Failed));
    }

    #[test]
    fn sectors_that_are_there() {
        let disk = Disk { capacity: 100, abilities: Abilities::empty() };
        for (first, count, expected) in [
            (0, 1, true),
            (0, 100, true),
            (99, 1, true),
            (0, 0, false),
            (100, 1, false),
            (1, 100, false),
            (u64::MAX, 1, false),
            (1, u64::MAX, false),
        ] {
            assert_eq!(Sectors { first, count }.are_of(&disk), expected, "{first} {count}");
        }
        for (count, offset, expected) in [
            (1, 0, Some(0..64)),
            (2, 512, Some(64..192)),
            (8, 0, Some(0..512)),
            (8, 8, None),
            (9, 0, None),
            (1, 4, None),
            (1, u64::MAX - 7, None),
            (u64::MAX, 0, None),
            (1 << 55, 0, None),
        ] {
            assert_eq!(Sectors { first: 0, count }.words(offset, 4096), expected, "{count} at {offset}");
        }
    }
}
