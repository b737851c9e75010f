//! How processes talk about files: a client calls a channel, which is its *name space*, and what is read and
//! written lies in memory that it shares with the server.
//!
//! A name space is all that a process reaches of a server's files: those in one folder, to be read, or to be
//! read and written. The server knows by which channel it is called, so neither is the client's to choose.
//! The first call is CONNECT: it passes the shared memory. Names are relative to the name space's folder;
//! they are bytes from 21h to 7Eh, with `/` as any other, so no name leads out of it. OPEN gives a number
//! that means the file in this name space until it is closed, or the client connects again. Neither side
//! believes the other: what a message says is checked, and the contents are whatever they are.
//!
//! A message's words, with those that a request does not use zero:
//!
//! | request | 0 | 1 | 2 | 3 | 4 |
//! |---|---|---|---|---|---|
//! | CONNECT | 1 | | | | |
//! | OPEN | 2 | [`Mode`] | bytes of the name | | the name, in words 4 to 11, filled up with zeros |
//! | READ | 3 | file | first byte | bytes | offset in the memory, a multiple of 8 |
//! | WRITE | 4 | the same | | | |
//! | MAP | 5 | file | 1 to write as well, else 0 | | |
//! | CLOSE | 6 | file | | | |
//! | REMOVE | 7 | | bytes of the name | | the name |
//!
//! | reply | 0 | 1 | 2 |
//! |---|---|---|---|
//! | CONNECT done | 0 | 1 if files may be written, else 0 | |
//! | OPEN done | 0 | the file | its size |
//! | READ or WRITE done | 0 | how many bytes | |
//! | MAP done | 0 | the file's size | |
//! | CLOSE or REMOVE done | 0 | | |
//! | not done | why: [`Refusal`] | | |
//!
//! READ ends at the file's end, and fills the last word up with zeros. WRITE is done as a whole or not at
//! all, and makes the file longer if it ends behind it; what lies between is zeros. The first handle of MAP's
//! reply is shared memory that has the file from its first byte on, and perhaps more.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod client;
pub mod serve;

use bitflags::bitflags;

/// The words of a message.
pub type Words = [u64; 12];

/// The most bytes of a name.
pub const NAME_MAX: usize = 64;
/// The most memory that a client may share, in bytes.
pub const MEMORY_MAX: u64 = 64 * 1024;

bitflags! {
    /// What a file is opened for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Mode: u64 {
        /// To be written as well.
        const WRITE = 1 << 0;
        /// It is made if there is none; to be written.
        const CREATE = 1 << 1;
        /// What it has goes; to be written.
        const TRUNCATE = 1 << 2;
    }
}

/// A name of a file: relative, with at least one byte, and of letters that can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; NAME_MAX],
    length: usize,
}

impl Name {
    /// A name, if it is one.
    pub fn new(name: &[u8]) -> Option<Self> {
        let is_name = !name.is_empty() && name.iter().all(|byte| (0x21..0x7f).contains(byte));
        let mut bytes = [0; NAME_MAX];
        // Checked by the place that there is for it: longer ones have none.
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        is_name.then_some(Self { bytes, length: name.len() })
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn to_words(self, words: &mut Words) {
        words[2] = self.length as u64;
        for (word, bytes) in words[4..].iter_mut().zip(self.bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
    }

    fn from_words(words: &Words) -> Option<Self> {
        let mut bytes = [0; NAME_MAX];
        for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(&words[4..]) {
            *bytes = word.to_le_bytes();
        }
        Self::new(bytes.get(..usize::try_from(words[2]).ok()?)?)
    }
}

/// Which part of a file, and where it is in the shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The file's first byte.
    pub first: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Where in the memory: a multiple of 8.
    pub offset: u64,
}

impl Piece {
    /// The words of a memory of so many words that it takes, as indices; the last one may be a part only.
    /// `None`: the memory does not have them all, or the offset is no multiple of eight.
    pub fn words(self, count: usize) -> Option<core::ops::Range<usize>> {
        // Checked, as a client may give any numbers: a sum that wrapped would lie within the memory.
        let end = self.offset.checked_add(self.bytes)?.div_ceil(8);
        let (first, end) = (usize::try_from(self.offset / 8).ok()?, usize::try_from(end).ok()?);
        (self.offset.is_multiple_of(8) && end <= count).then_some(first..end)
    }
}

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The memory is the first handle of the message.
    Connect,
    /// Gives the number of a file.
    Open {
        /// Its name.
        name: Name,
        /// What for.
        mode: Mode,
    },
    /// From the file to the memory.
    Read {
        /// The file's number.
        file: u64,
        /// What, and where to.
        piece: Piece,
    },
    /// From the memory to the file.
    Write {
        /// The file's number.
        file: u64,
        /// What, and where from.
        piece: Piece,
    },
    /// Gives shared memory that has the file.
    Map {
        /// The file's number.
        file: u64,
        /// It is to be written there.
        is_written: bool,
    },
    /// The number means nothing any more.
    Close {
        /// The file's number.
        file: u64,
    },
    /// There is no such file any more, whoever has it open.
    Remove {
        /// Its name.
        name: Name,
    },
}

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Refusal {
    /// There is no such request, or there is no such memory.
    Wrong = 1,
    /// CONNECT comes first.
    NotConnected = 2,
    /// There is no file of this name.
    NotFound = 3,
    /// The name space, the file, or what it was opened for, does not allow it.
    NotAllowed = 4,
    /// There is no open file of this number; or the file was removed.
    NotOpen = 5,
    /// The name space has as many files, or open files, as it may have.
    TooMany = 6,
    /// There is no room for so many bytes: in the file, or in the name space.
    NoRoom = 7,
    /// The server cannot do it: it lacks memory, or the file cannot be read.
    Failed = 8,
}

/// What a reply says, beside a handle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// By the request: whether it may be written, a file, a number of bytes.
    pub value: u64,
    /// Of OPEN: the file's size.
    pub bytes: u64,
}

/// A reply.
pub type Reply = Result<Done, Refusal>;

impl Request {
    /// As a message has it.
    pub fn to_words(&self) -> Words {
        let mut words = Words::default();
        match *self {
            Self::Connect => words[0] = 1,
            Self::Open { name, mode } => {
                words[..2].copy_from_slice(&[2, mode.bits()]);
                name.to_words(&mut words);
            }
            Self::Read { file, piece } => {
                words[..5].copy_from_slice(&[3, file, piece.first, piece.bytes, piece.offset]);
            }
            Self::Write { file, piece } => {
                words[..5].copy_from_slice(&[4, file, piece.first, piece.bytes, piece.offset]);
            }
            Self::Map { file, is_written } => {
                words[..3].copy_from_slice(&[5, file, u64::from(is_written)]);
            }
            Self::Close { file } => words[..2].copy_from_slice(&[6, file]),
            Self::Remove { name } => {
                words[0] = 7;
                name.to_words(&mut words);
            }
        }
        words
    }

    /// What a message asks, if it asks anything.
    pub fn from_words(words: &Words) -> Option<Self> {
        let [code, file, first, bytes, offset, ..] = *words;
        let piece = Piece { first, bytes, offset };
        let request = match code {
            1 => Self::Connect,
            2 => Self::Open { name: Name::from_words(words)?, mode: Mode::from_bits(file)? },
            3 => Self::Read { file, piece },
            4 => Self::Write { file, piece },
            5 => Self::Map { file, is_written: first == 1 },
            6 => Self::Close { file },
            7 => Self::Remove { name: Name::from_words(words)? },
            _ => return None,
        };
        // Exactly what `to_words` writes: words that have no meaning are zero, or the client means something
        // else.
        (request.to_words() == *words).then_some(request)
    }
}

/// A reply as a message has it.
pub fn reply_to_words(reply: Reply) -> Words {
    let mut words = Words::default();
    match reply {
        Ok(Done { value, bytes }) => words[1..3].copy_from_slice(&[value, bytes]),
        Err(refusal) => words[0] = refusal as u64,
    }
    words
}

/// What a message replies. A refusal that there is not is a server that failed.
pub fn reply_from_words(words: &Words) -> Reply {
    Err(match words[0] {
        0 => return Ok(Done { value: words[1], bytes: words[2] }),
        1 => Refusal::Wrong,
        2 => Refusal::NotConnected,
        3 => Refusal::NotFound,
        4 => Refusal::NotAllowed,
        5 => Refusal::NotOpen,
        6 => Refusal::TooMany,
        7 => Refusal::NoRoom,
        _ => Refusal::Failed,
    })
}

#[cfg(test)]
mod tests;
