//! What a thread exchanges with others over channels: the call that it makes, and the one that it serves.
//!
//! A call is known by its caller and a number. A server that replies to one that is over (its deadline
//! passed, its process ends) finds another number, or none under way, and drops the reply. Of threads nothing
//! is known here.

use vcpu_abi::message::{Message, REGISTER_WORDS, came, received};
use vcpu_abi::status::Status;

use super::passed::Passed;
use crate::object::pool::Ref;

/// What an endpoint gave a thread.
#[derive(Default)]
pub enum Received<T: 'static> {
    /// Nothing.
    #[default]
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
}

/// How a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The caller waits.
    Open,
    /// It is over: with the reply in place, or without.
    Over(Status),
}

/// What lies in a call's message. The numbers are those of the ABI, for who receives a call and for who gets
/// a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Form {
    /// All of it.
    Message = received::CALL,
    /// The key and the first words: the others are zero, and there are no handles.
    Words = received::WORDS,
}

const _: () = assert!(Form::Message as u64 == came::MESSAGE && Form::Words as u64 == came::WORDS);

/// A call, as its caller has it.
pub struct Call {
    number: u64,
    progress: Progress,
    /// The endpoint that is called, by its address; 0 while none is.
    pub at: usize,
    /// How much there is of the message.
    pub form: Form,
    /// The call's message, then the reply.
    pub message: Message,
    /// The handles that go with it, if there are any.
    pub passed: Option<Passed>,
}

impl Call {
    /// None.
    pub const fn new() -> Self {
        const EMPTY: Message = Message { key: 0, deadline_tsc: 0, handles: [0; 4], words: [0; 12] };
        Self {
            number: 0,
            progress: Progress::Over(Status::Ok),
            at: 0,
            form: Form::Message,
            message: EMPTY,
            passed: None,
        }
    }

    /// A call begins, of whose message and handles it is known already. Returns its number.
    #[inline(always)]
    pub fn begin(&mut self, at: usize) -> u64 {
        // Never the same again: a late reply to a call that was given up must not be taken for the next
        // one's.
        self.number += 1;
        (self.progress, self.at) = (Progress::Open, at);
        self.number
    }

    /// The call's number, while the caller waits.
    #[inline(always)]
    pub fn open(&self) -> Option<u64> {
        (self.progress == Progress::Open).then_some(self.number)
    }

    /// The words that are there in either form.
    #[inline(always)]
    pub fn words(&self) -> &[u64; REGISTER_WORDS] {
        self.message.words.first_chunk().unwrap_or(&[0; REGISTER_WORDS])
    }

    /// Puts a message of nothing but its first words in place.
    #[inline(always)]
    pub fn set_words(&mut self, words: &[u64; REGISTER_WORDS]) {
        self.form = Form::Words;
        if let Some(first) = self.message.words.first_chunk_mut() {
            *first = *words;
        }
    }

    /// The whole message.
    pub fn full(&self) -> Message {
        if self.form == Form::Message {
            return self.message;
        }
        // What lies behind the words is of an earlier call of this thread's, to or from another process.
        let mut message = Message { key: self.message.key, ..Message::default() };
        if let Some(first) = message.words.first_chunk_mut() {
            *first = *self.words();
        }
        message
    }

    /// The reply to the call that is open is in place.
    #[inline(always)]
    pub fn replied(&mut self) {
        self.progress = Progress::Over(Status::Ok);
    }

    /// Replies to call `number`. `false`: it is over.
    #[must_use]
    pub fn reply(
        &mut self,
        number: u64,
        (message, form): (Message, Form),
        passed: &mut Option<Passed>,
    ) -> bool {
        let open = self.open() == Some(number);
        if open {
            (self.message, self.form) = (message, form);
            self.replied();
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
    #[inline(always)]
    pub fn close(&mut self) -> Status {
        self.at = 0;
        if let Progress::Over(status) = self.progress {
            return status;
        }
        self.progress = Progress::Over(Status::TimedOut);
        Status::TimedOut
    }
}

#[cfg(test)]
mod tests;
