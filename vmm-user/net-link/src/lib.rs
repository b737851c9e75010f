//! How Ethernet frames cross between the process that drives a network device and the one whose network it
//! is: in memory that both share, a way for each direction, and an event by which either wakes the other.
//!
//! The client makes the memory, and an event of its own, and passes both in its one call, CONNECT. The reply
//! has the device's MAC address, the server's event, and a *lifeline*: a channel that is never replied on, so
//! that a call over it comes back when the server has ended. A server has one client, once: it ends when it
//! is connected to again, and another one, with a device that was reset, takes its place. What was on its way
//! is lost then, as on any network.
//!
//! The memory is zero at CONNECT. It has two ways of [`WAY_BYTES`], first the client's to send by. A way
//! begins with a ring of [`FRAMES`] entries (`shared-ring`); at [`SLOTS_AT`] there is a slot of
//! [`SLOT_BYTES`] for each of them, in which the frame of that entry is. Word 0 of an entry is the number of
//! bytes of its frame; the others are zero. A slot belongs to the sender until the entry is published, and to
//! the receiver until that is released.
//!
//! Neither side believes the other. The ring holds its counts against what is possible, an entry of no frame
//! that there can be is [`Nonsense`], and the link is not used any more. The contents of a slot may change at
//! any time: they are copied out once, and are whatever they are.
#![no_std]
#![forbid(unsafe_code)]

pub mod client;
mod frames;

pub use frames::{Frame, Receiver, Sender, read_bytes, write_bytes};
pub use shared_ring::Nonsense;
use shared_ring::{ENTRY_WORDS, HEADER_WORDS};

/// Frames that there is room for, each way.
pub const FRAMES: usize = 256;
/// Bytes of a slot: the longest frame.
pub const SLOT_BYTES: usize = 2048;
/// Where the slots begin in a way, in bytes: at the first page behind the ring.
pub const SLOTS_AT: usize = (8 * (HEADER_WORDS + FRAMES * ENTRY_WORDS)).next_multiple_of(4096);
/// Bytes of a way.
pub const WAY_BYTES: usize = SLOTS_AT + FRAMES * SLOT_BYTES;
/// Bytes of the shared memory.
pub const MEMORY_BYTES: usize = 2 * WAY_BYTES;

/// The words of a message.
pub type Words = [u64; 12];

/// CONNECT, as the words of a message.
pub const CONNECT: Words = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A MAC address as a word of the reply to CONNECT; word 0 is 0 then, and anything else is a refusal.
pub fn address_to_words(address: [u8; 6]) -> Words {
    let [a, b, c, d, e, f] = address;
    let mut words = Words::default();
    words[1] = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    words
}

/// The address in a reply; `None` for a refusal.
pub fn address_from_words(words: &Words) -> Option<[u8; 6]> {
    let [a, b, c, d, e, f, ..] = words[1].to_le_bytes();
    (words[0] == 0).then_some([a, b, c, d, e, f])
}

#[cfg(test)]
mod tests;
