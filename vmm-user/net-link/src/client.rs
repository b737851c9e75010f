//! The client's one call.

use runtime::abi::message::Message;
use runtime::abi::operation::Handle;
use runtime::abi::status::Status;
use runtime::channel::Channel;
use runtime::event::Event;
use runtime::process;
use runtime::shared::SharedMemory;

use crate::{CONNECT, address_from_words};

/// A server that a client is connected to.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// The MAC address of its device.
    pub address: [u8; 6],
    /// What wakes it.
    pub event: Event,
    lifeline: Channel,
}

/// Connects to whoever serves the channel. `event` wakes the client; the server may do with it whatever it
/// likes, as with the memory.
///
/// # Errors
/// The kernel's; WrongState if the server refuses.
pub fn connect(
    channel: Channel,
    memory: SharedMemory,
    event: Event,
    deadline_tsc: u64,
) -> Result<Server, Status> {
    let handles = [memory.0, event.0, 0, 0];
    let mut message = Message { deadline_tsc, handles, words: CONNECT, ..Message::default() };
    channel.call(&mut message)?;
    match (address_from_words(&message.words), message.handles) {
        // Without the one it could not be woken, and without the other its end not be noticed.
        (Some(address), [wake, life, 0, 0]) if wake != 0 && life != 0 => {
            Ok(Server { address, event: Event(wake), lifeline: Channel(life) })
        }
        (_, handles) => {
            // Each further attempt would leave two more here.
            close(&handles);
            Err(Status::WrongState)
        }
    }
}

fn close(handles: &[Handle]) {
    for handle in handles.iter().filter(|handle| **handle != 0) {
        // It was just received: nothing but a number that is none can go wrong, and there is nothing to do
        // then.
        let _ = process::close(*handle);
    }
}

impl Server {
    /// Waits until the server has ended.
    pub fn wait_for_end(&self) {
        let mut message = Message { deadline_tsc: u64::MAX, ..Message::default() };
        // A reply, which only a server gives that has been taken over, is an end as well: this link is over.
        if self.lifeline.call(&mut message).is_ok() {
            close(&message.handles);
        }
    }

    /// Lets go of it.
    pub fn close(self) {
        close(&[self.event.0, self.lifeline.0]);
    }
}
