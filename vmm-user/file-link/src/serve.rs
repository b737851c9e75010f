//! A server of files: its requests, out of the messages of its clients.

use runtime::abi::operation::Handle;
use runtime::abi::status::Status;
use runtime::channel::Endpoint;
use runtime::serve::Outcome;

use crate::{Refusal, Reply, Request, reply_to_words};

/// What carries out requests.
pub trait Serve {
    /// Carries out a request that came by the channel with that key. `memory`: the handle that came with it,
    /// or 0, which is closed afterwards. Returns the reply, and a handle of this process's to pass, or 0.
    fn serve(&mut self, key: u64, request: Request, memory: Handle) -> (Reply, Handle);
}

/// Serves until the endpoint cannot be worked with any more. Returns why.
pub fn serve(endpoint: Endpoint, server: &mut impl Serve) -> Status {
    runtime::serve::serve(endpoint, |message| {
        let (reply, given) = match Request::from_words(&message.words) {
            Some(request) => server.serve(message.key, request, message.handles[0]),
            None => (Err(Refusal::Wrong), 0),
        };
        Outcome { words: reply_to_words(reply), given, end: None }
    })
}
