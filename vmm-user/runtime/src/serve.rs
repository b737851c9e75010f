//! The loop of a server: receives calls, has them carried out, and replies.

use vcpu_abi::message::{MESSAGE_WORDS, Message};
use vcpu_abi::operation::Handle;
use vcpu_abi::status::Status;

use crate::channel::{Endpoint, Received};
use crate::process;

/// What a call has come to.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<E> {
    /// The reply, for [`Message::words`].
    pub words: [u64; MESSAGE_WORDS],
    /// A handle of this process's that the caller gets, or 0.
    pub given: Handle,
    /// Why this reply is the last one.
    pub end: Option<E>,
}

/// Serves calls until one of them is the last, or the endpoint cannot be worked with any more. Returns why.
///
/// The handles that come with a call are closed when `execute` has returned.
pub fn serve<E: From<Status>>(endpoint: Endpoint, mut execute: impl FnMut(&Message) -> Outcome<E>) -> E {
    let mut message = Message { deadline_tsc: u64::MAX, ..Message::default() };
    let mut received = endpoint.receive(&mut message);
    loop {
        match received {
            Ok(Received::Call) => {}
            Ok(Received::Notification) => {
                // What came has overwritten the deadline with zero.
                message.deadline_tsc = u64::MAX;
                received = endpoint.receive(&mut message);
                continue;
            }
            Err(status) => return status.into(),
        }
        let Outcome { words, given, end } = execute(&message);
        // Mapped memory stays; handles are not needed, and would pile up.
        for handle in message.handles.into_iter().filter(|handle| *handle != 0) {
            if let Err(status) = process::close(handle) {
                return status.into();
            }
        }
        // Behind the last reply no call is waited for.
        let deadline_tsc = if end.is_none() { u64::MAX } else { 0 };
        message = Message { words, handles: [given, 0, 0, 0], deadline_tsc, ..Message::default() };
        received = endpoint.reply_and_receive(&mut message);
        if let Some(end) = end {
            return end;
        }
    }
}
