//! Channels: calls and replies between threads and between processes, and everything that may go wrong with
//! one side while the other waits for it.

mod arguments;
mod deadlines;
mod ends;
mod notifications;
mod passing;
mod queueing;
pub mod server;
mod trips;
mod words;

pub use self::arguments::without_rights;
use runtime::abi::message::Message;
use runtime::abi::operation::Rights;
use runtime::abi::status::Status;
use runtime::channel::{Channel, Endpoint};
use runtime::event::Event;
use runtime::process;

use crate::child::Child;
use crate::suite::Suite;

/// Microseconds after which something that must happen has not.
const LOST_US: u64 = 20_000_000;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    arguments::test(suite);
    trips::test(suite);
    words::test(suite);
    deadlines::test(suite);
    ends::test(suite);
    queueing::test(suite);
    passing::test(suite);
    notifications::test(suite);
}

/// A message with a command for [`server`], which is waited for at most as long as something may take.
pub fn command(suite: &Suite<'_>, command: u64) -> Message {
    let mut message = Message { deadline_tsc: suite.in_us(LOST_US), ..Message::default() };
    message.words[0] = command;
    message
}

/// The status of a call with a command.
fn call(suite: &Suite<'_>, channel: Channel, what: u64) -> Status {
    status(channel.call(&mut command(suite, what)))
}

fn status<T>(result: Result<T, Status>) -> Status {
    result.err().unwrap_or(Status::Ok)
}

/// Waits without anybody to wake it.
fn pause(suite: &Suite<'_>, micros: u64) {
    if let Ok(event) = Event::try_new() {
        let _ = event.wait_until(suite.in_us(micros));
        let _ = process::close(event.0);
    }
}

/// An endpoint, a channel to it with key 7, and a server in a process of its own that receives there.
pub struct Served {
    endpoint: Endpoint,
    /// The channel.
    pub channel: Channel,
    child: Child,
}

impl Served {
    /// The server on a processor.
    pub fn new(suite: &Suite<'_>, cpu: u32, priority: u32) -> Result<Self, Status> {
        let endpoint = Endpoint::try_new()?;
        let channel = endpoint.channel(7)?;
        Ok(Self { endpoint, channel, child: start(suite, endpoint, cpu, priority)? })
    }

    /// Ends the server, if it runs, and returns its exit code.
    pub fn end(self, suite: &Suite<'_>) -> Result<u32, Status> {
        let _ = self.channel.call(&mut command(suite, server::END));
        let code = self.child.join(suite)?.code;
        process::close(self.channel.0)?;
        process::close(self.endpoint.0)?;
        Ok(code)
    }
}

/// A server for an endpoint, in a process of its own.
fn start(suite: &Suite<'_>, endpoint: Endpoint, cpu: u32, priority: u32) -> Result<Child, Status> {
    let rights = Rights::WAIT | Rights::CREATE;
    let child = Child::new(suite, "channel-server")?.set("ticks-ms", suite.ticks_us * 1000);
    child.grant("endpoint", endpoint.0, rights)?.start(cpu, priority)
}
