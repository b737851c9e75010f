//! What a device answers: hostile, when the VMM reads it.
//!
//! | word | |
//! |---|---|
//! | 0 | bits 7:0 code, 15:8 how many line changes; others zero |
//! | 1 | the value that was read; 0 when nothing was |
//! | 2 | when the device's timer wants to be looked at, in guest nanoseconds; all ones for never |
//! | 3 | line changes, in order, a byte each: bit 7 the level, bits 6:0 the line; then zeros |
//!
//! To GREET a device answers with its version in word 1, to CLAIM with the words of a
//! [`Claim`](crate::claim::Claim).

use crate::Words;

/// Codes, in word 0.
pub mod code {
    /// Done.
    pub const DONE: u8 = 1;
    /// The request's session is not the device's: it was started again, and nothing was done.
    pub const STRANGER: u8 = 2;
    /// There is no claim of that index: those before it were all.
    pub const NO_CLAIM: u8 = 3;
    /// The device takes the request for one that no VMM makes.
    pub const REFUSED: u8 = 4;
}

/// The most line changes that an answer has room for. Of a line that is driven more often in one access the
/// first changes are left out.
pub const LINES_MAX: usize = 8;

/// The word for no deadline.
pub const NEVER: u64 = u64::MAX;

/// Line changes, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineChanges {
    count: u8,
    bytes: u64,
}

const LEVEL: u8 = 1 << 7;

impl LineChanges {
    /// Adds one; where there is no room, in the place of the line's first. `false`: there is no such, or no
    /// such line can be said.
    pub fn push(&mut self, line: u8, level: bool) -> bool {
        // Of one line the last change must be told, or it stays at a level that the device does not have.
        if line & LEVEL != 0 || usize::from(self.count) >= LINES_MAX && !self.remove_first(line) {
            return false;
        }
        let byte = line | if level { LEVEL } else { 0 };
        self.bytes |= u64::from(byte) << (8 * self.count);
        self.count += 1;
        true
    }

    fn remove_first(&mut self, line: u8) -> bool {
        let Some(index) = self.iter().position(|(other, _)| other == line) else { return false };
        let before = (1u64 << (8 * index)) - 1;
        self.bytes = self.bytes & before | self.bytes >> 8 & !before;
        self.count -= 1;
        true
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Lines and levels, in order.
    pub fn iter(self) -> impl Iterator<Item = (u8, bool)> {
        (0..self.count)
            .map(move |index| (self.bytes >> (8 * index)) as u8)
            .map(|b| (b & !LEVEL, b & LEVEL != 0))
    }
}

/// What a device did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was read.
    pub value: u64,
    /// When its timer wants to be looked at.
    pub deadline_ns: u64,
    /// What it drove.
    pub lines: LineChanges,
}

/// What the device's process says, before anything in it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The device did something.
    Done(Answer),
    /// It has not been greeted.
    Stranger,
}

impl Reply {
    /// The words.
    #[inline(always)]
    pub fn words(&self) -> Words {
        let Self::Done(answer) = self else { return [code::STRANGER.into(), 0, 0, 0] };
        let head = u64::from(code::DONE) | u64::from(answer.lines.count) << 8;
        [head, answer.value, answer.deadline_ns, answer.lines.bytes]
    }

    /// Takes the words apart. `None`: nonsense. `mask`: the bits that a value may have.
    #[inline(always)]
    pub fn read(words: &Words, mask: u64) -> Option<Self> {
        let [head, value, deadline_ns, bytes] = *words;
        // What most accesses come to.
        if head == u64::from(code::DONE) {
            let answer = Answer { value, deadline_ns, lines: LineChanges::default() };
            // A value wider than the access would change bits of the guest's register that the instruction
            // leaves alone.
            return (bytes | value & !mask == 0).then_some(Self::Done(answer));
        }
        if head == u64::from(code::STRANGER) {
            return Some(Self::Stranger);
        }
        Self::read_rare(words, mask)
    }

    #[cold]
    fn read_rare(words: &Words, mask: u64) -> Option<Self> {
        let [head, value, deadline_ns, bytes] = *words;
        let count = (head >> 8) as u8;
        // The bytes behind those that are said have to be zero. Behind all eight there is nothing, where a
        // shift by 64 is none (`checked_shr`).
        let said = 8 * u32::from(count);
        let is_long = usize::from(count) > LINES_MAX;
        let is_done = head & !0xff00 == u64::from(code::DONE);
        if !is_done || is_long || value & !mask != 0 || bytes.checked_shr(said).unwrap_or(0) != 0 {
            return None;
        }
        Some(Self::Done(Answer { value, deadline_ns, lines: LineChanges { count, bytes } }))
    }
}
