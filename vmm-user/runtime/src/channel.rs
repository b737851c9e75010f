//! Channels: calls to another process, and the endpoints at which they are received.

use vcpu_abi::message::{Message, RECEIVE_REPLY, REGISTER_WORDS, received};
use vcpu_abi::operation::{ChannelCreate, EndpointCreate, EventBindEndpoint, HANDLE_SELF, Handle};
use vcpu_abi::status::Status;

use crate::event::Event;
use crate::syscall::{self, call};

/// Where a server receives.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint(pub Handle);

/// What a client calls by.
#[derive(Clone, Copy, Debug)]
pub struct Channel(pub Handle);

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A call, which wants a reply.
    Call,
    /// The signal of an event that is bound to the endpoint: the message has its key, and nothing else.
    Notification,
}

/// Where what came is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// A call, which wants a reply, in the words, and not in the message.
    Words {
        /// The key of the channel that was called.
        key: u64,
    },
    /// In the message.
    Message(Received),
}

/// Where a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// In the words.
    Words,
    /// In the message.
    Message,
}

impl Endpoint {
    /// A new one. Whoever receives there first is its server.
    pub fn try_new() -> Result<Self, Status> {
        call(HANDLE_SELF, EndpointCreate::default()).map(|c| Self(c.handle))
    }

    /// A channel to it, which the server knows by `key`.
    pub fn channel(self, key: u64) -> Result<Channel, Status> {
        call(self.0, ChannelCreate { key, handle: 0, reserved: 0 }).map(|c| Channel(c.handle))
    }

    /// Makes an event's signals notifications with this key.
    pub fn bind(self, event: Event, key: u64) -> Result<(), Status> {
        call(event.0, EventBindEndpoint { endpoint: self.0, reserved: 0, key }).map(|_| ())
    }

    /// Waits for what comes next, until the message's `deadline_tsc` at most.
    pub fn receive(self, message: &mut Message) -> Result<Received, Status> {
        self.receive_with(message, 0)
    }

    /// Replies with the message to the call that this thread serves, then receives.
    pub fn reply_and_receive(self, message: &mut Message) -> Result<Received, Status> {
        self.receive_with(message, RECEIVE_REPLY)
    }

    /// The same with a few words, and a deadline beside them. A call that has no more either comes in the
    /// words; what else comes is in the message.
    #[inline(always)]
    pub fn reply_words_and_receive(
        self,
        words: &mut [u64; REGISTER_WORDS],
        message: &mut Message,
        deadline_tsc: u64,
    ) -> Result<Arrived, Status> {
        match syscall::receive_words(self.0, words, message, deadline_tsc) {
            Ok(Ok(key)) => Ok(Arrived::Words { key }),
            Ok(Err(received::CALL)) => Ok(Arrived::Message(Received::Call)),
            Ok(Err(_)) => Ok(Arrived::Message(Received::Notification)),
            Err(status) => Err(status),
        }
    }

    fn receive_with(self, message: &mut Message, flags: u64) -> Result<Received, Status> {
        let what = syscall::receive(self.0, message, flags)?;
        Ok(if what == received::CALL { Received::Call } else { Received::Notification })
    }
}

impl Channel {
    /// Calls and waits for the reply, until the message's `deadline_tsc` at most.
    pub fn call(self, message: &mut Message) -> Result<(), Status> {
        syscall::call_channel(self.0, message)
    }

    /// Calls with a few words, which go in registers, and waits for the reply, until the deadline at most. It
    /// is in the words too, or, if it has more, in the message.
    #[inline(always)]
    pub fn call_words(
        self,
        words: &mut [u64; REGISTER_WORDS],
        message: &mut Message,
        deadline_tsc: u64,
    ) -> Result<Came, Status> {
        match syscall::call_words(self.0, words, message, deadline_tsc) {
            Ok(true) => Ok(Came::Words),
            Ok(false) => Ok(Came::Message),
            Err(status) => Err(status),
        }
    }
}
