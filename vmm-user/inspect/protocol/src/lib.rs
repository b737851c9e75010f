//! The protocol of the live view (docs/inspect.md): what the process `inspect` and its client on the host say
//! to each other over the host's second serial line.
//!
//! Text, a line each. The client sends a [`Request`]; the answer is any number of [`Item`]s, a line each, and
//! a last line, which is `ok` or `error` and why. Both sides parse strictly, and neither believes the other:
//! a line is bounded, and what does not parse is a [`Mistake`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod item;
mod request;
mod text;
pub mod watch;

pub use item::{Exits, Item, LogPart, Machine, Process, Traced};
pub use request::{Mistake, Request};

/// Version of the protocol, which `hello` tells.
pub const VERSION: u64 = 1;
/// The longest line of a request, without its end.
pub const REQUEST_MAX: usize = 64;
/// The longest line of an answer, without its end.
pub const ANSWER_MAX: usize = 8192;
/// The last line of an answer that is complete.
pub const OK: &str = "ok";
/// The first word of the last line of an answer to what could not be done.
pub const ERROR: &str = "error";
