//! What the processors tell each other: words of memory.

use super::layout::SHARED;
use super::machine::{read, write};

#[derive(Clone, Copy)]
#[repr(u64)]
pub enum Flag {
    /// How long to go on.
    Seconds,
    /// PM timer ticks since the start, kept by the first processor.
    Ticks,
    /// Rounds of processors 0 and 1.
    Rounds0,
    Rounds1,
    /// The race that processor 0 asks for: its number, 0 for none; and the seed for the one that changes
    /// things.
    Race,
    RaceSeed,
    /// The race that processor 1 is taking part in.
    Racing,
    /// [`super::entry::sum`] as it was at the start.
    Sum,
    /// Whether anything was wrong.
    Wrong,
    /// How often something of the watch was not as it has to be.
    Repairs,
}

pub fn get(flag: Flag) -> u64 {
    read(SHARED + flag as u64 * 8)
}

pub fn set(flag: Flag, value: u64) {
    write(SHARED + flag as u64 * 8, value);
}
