//! How the VMM and a device in a process of its own talk: the messages, and both ends of them.
//!
//! The VMM has a [`RemoteDevice`](remote::RemoteDevice) where it would have the device itself. What the guest
//! does there becomes a [`Request`](request::Request) of a few words. The device's process has a
//! [`Server`](serve::Server) around the same device code, and its [`Answer`](answer::Answer) says what the
//! device did: the value read, lines driven, the machine's end, its next deadline.
//!
//! Neither end believes the other. The process is the one to be feared, as it may have been taken over by
//! whom it serves: an answer is taken apart strictly, and what could not come from a device that works is
//! *nonsense*. A process that talks nonsense, hangs or is gone is a device that is absent until it is back.
//!
//! How the words travel is not known here: [`Call`](remote::Call) is all that is asked of the way.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod answer;
pub mod claim;
pub mod remote;
pub mod request;
pub mod serve;

/// Words of a message: as many as go over a channel in registers.
pub const WORDS: usize = 4;

/// A message. It is changed in place, and what its sender did not write is what was there before: a receiver
/// looks at no word that the code of the message does not name.
pub type Words = [u64; WORDS];

/// The number of this protocol; it changes with the meaning of anything here.
pub const VERSION: u64 = 3;

#[cfg(test)]
mod tests;
