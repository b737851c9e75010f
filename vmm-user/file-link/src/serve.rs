//! The loop of a server: receives, has requests carried out, and replies.

use runtime::abi::message::Message;
use runtime::abi::operation::Handle;
use runtime::abi::status::Status;
use runtime::channel::{Endpoint, Received};
use runtime::process;

use crate::{Refusal, Reply, Request, reply_to_words};

/// What carries out requests.
pub trait Serve {
    /// Carries out a request that came by the channel with that key. `memory`: the handle that came with it,
    /// or 0, which is closed afterwards. Returns the reply, and a handle of this process's to pass, or 0.
    fn serve(&mut self, key: u64, request: Request, memory: Handle) -> (Reply, Handle);
}

/// Serves until the endpoint cannot be worked with any more. Returns why.
pub fn serve(endpoint: Endpoint, server: &mut impl Serve) -> Status {
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
            Err(status) => return status,
        }
        let (reply, given) = match Request::from_words(&message.words) {
            Some(request) => server.serve(message.key, request, message.handles[0]),
            None => (Err(Refusal::Wrong), 0),
        };
        // Mapped memory stays; handles are not needed, and would pile up.
        for handle in message.handles.into_iter().filter(|handle| *handle != 0) {
            if let Err(status) = process::close(handle) {
                return status;
            }
        }
        let (words, handles) = (reply_to_words(reply), [given, 0, 0, 0]);
        message = Message { words, handles, deadline_tsc: u64::MAX, ..Message::default() };
        received = endpoint.reply_and_receive(&mut message);
    }
}
