//! What a thread exchanges with others over channels: the call that it makes, and the one that it serves.
//!
//! A call is known by its caller and a number. A server that replies to one that is over (its deadline
//! passed, its process ends) finds another number, or none under way, and drops the reply. Of threads nothing
//! is known here.

use vcpu_abi::message::Message;
use vcpu_abi::operation::Handle;
use vcpu_abi::status::Status;

use super::passed::Passed;
use crate::object::pool::Ref;

/// A thread's part in calls.
pub struct Exchange<T: 'static> {
    /// The call that it makes, or made last.
    pub call: Call,
    /// What it was handed while it waited at an endpoint, or serves.
    pub received: Received<T>,
}

/// What an endpoint gave a thread.
pub enum Received<T: 'static> {
    /// Nothing.
    Nothing,
    /// A call, which wants a reply.
    Call(Served<T>),
    /// A notification, by its key.
    Notification(u64),
}

/// A call that a thread serves.
pub struct Served<T: 'static> {
    /// Who calls.
    pub caller: Ref<T>,
    /// Which of its calls.
    pub number: u64,
    /// The endpoint, by its address.
    pub at: usize,
}

/// How a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The caller waits.
    Open,
    /// It is over: with the reply in place, or without.
    Over(Status),
}

/// A call, as its caller has it.
pub struct Call {
    number: u64,
    progress: Progress,
    /// The endpoint that is called, by its address; 0 while none is.
    pub at: usize,
    /// The call's message, then the reply.
    pub message: Message,
    /// The handles that go with it, if there are any.
    pub passed: Option<Passed>,
}

impl<T> Exchange<T> {
    /// None.
    pub const fn new() -> Self {
        const EMPTY: Message = Message { key: 0, deadline_tsc: 0, handles: [0; 4], words: [0; 12] };
        let call =
            Call { number: 0, progress: Progress::Over(Status::Ok), at: 0, message: EMPTY, passed: None };
        Self { call, received: Received::Nothing }
    }

    /// Takes the call that is served.
    pub fn take_served(&mut self) -> Option<Served<T>> {
        match core::mem::replace(&mut self.received, Received::Nothing) {
            Received::Call(served) => Some(served),
            _ => None,
        }
    }

    /// Whether a call at this endpoint is served.
    pub fn serves_at(&self, endpoint: usize) -> bool {
        matches!(&self.received, Received::Call(served) if served.at == endpoint)
    }
}

impl Call {
    /// A call begins. Returns its number.
    pub fn begin(&mut self, at: usize, message: Message, passed: Option<Passed>) -> u64 {
        self.number += 1;
        (self.progress, self.at, self.message, self.passed) = (Progress::Open, at, message, passed);
        self.number
    }

    /// The call's number, while the caller waits.
    pub fn open(&self) -> Option<u64> {
        (self.progress == Progress::Open).then_some(self.number)
    }

    /// Replies to call `number`. `false`: it is over.
    #[must_use]
    pub fn reply(&mut self, number: u64, message: Message, passed: &mut Option<Passed>) -> bool {
        let open = self.open() == Some(number);
        if open {
            (self.message, self.progress) = (message, Progress::Over(Status::Ok));
            // What the server left of the call's own handles goes with the server's.
            core::mem::swap(&mut self.passed, passed);
        }
        open
    }

    /// Ends call `number` without a reply. `false`: it is over already.
    #[must_use]
    pub fn fail(&mut self, number: u64, status: Status) -> bool {
        let open = self.open() == Some(number);
        if open {
            self.progress = Progress::Over(status);
        }
        open
    }

    /// The call is refused, before anybody has seen it. What was to be passed is for the caller to drop.
    pub fn abandon(&mut self) -> Option<Passed> {
        self.close();
        self.passed.take()
    }

    /// The caller does not wait any more: how the call ended. One that is still open ends here.
    pub fn close(&mut self) -> Status {
        self.at = 0;
        match core::mem::replace(&mut self.progress, Progress::Over(Status::TimedOut)) {
            Progress::Open => Status::TimedOut,
            Progress::Over(status) => status,
        }
    }
}

/// The handles of a message, if it has any.
pub fn has_handles(handles: &[Handle; 4]) -> bool {
    *handles != [0; 4]
}
