//! Messages: what a call on a channel carries, there and back.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::operation::Handle;

/// The most handles a message passes on.
pub const MESSAGE_HANDLES: usize = 4;

/// Words of a message.
pub const MESSAGE_WORDS: usize = 12;

/// How many of them fit into registers: `R8`, `R9`, `R10` and `R12`.
pub const REGISTER_WORDS: usize = 4;

/// A message: two cache lines. The kernel takes it at any address.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Message {
    /// Received: the key of the channel that was called, or of the event that was signalled. Sent: ignored.
    pub key: u64,
    /// Given to a call or a receive: TSC value to wait for at most; `u64::MAX` for ever, 0 not to wait.
    /// Received: 0.
    pub deadline_tsc: u64,
    /// Sent: the sender's handles to pass on, 0 for none. Received: the receiver's handles for the same.
    pub handles: [Handle; MESSAGE_HANDLES],
    /// Whatever the two have agreed on.
    pub words: [u64; MESSAGE_WORDS],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Message>() == 128);
    assert!(offset_of!(Message, handles) == 16);
    assert!(offset_of!(Message, words) == 32);
};

/// In the flags of [`SYS_RECEIVE`](crate::syscall::SYS_RECEIVE): reply first, with the message, to the call
/// that the thread serves.
pub const RECEIVE_REPLY: u64 = 1 << 0;

/// What [`SYS_RECEIVE`](crate::syscall::SYS_RECEIVE) came back with.
pub mod received {
    /// A call, which wants a reply.
    pub const CALL: u64 = 0;
    /// The notification of an event that was bound to the endpoint.
    pub const NOTIFICATION: u64 = 1;
    /// A call, which wants a reply, and whose words came in registers; its key is in `RSI`. Only after
    /// [`SYS_RECEIVE_WORDS`](crate::syscall::SYS_RECEIVE_WORDS).
    pub const WORDS: u64 = 2;
}

/// Where a reply to [`SYS_CALL_WORDS`](crate::syscall::SYS_CALL_WORDS) is.
pub mod came {
    /// In the message.
    pub const MESSAGE: u64 = 0;
    /// In registers.
    pub const WORDS: u64 = 2;
}
