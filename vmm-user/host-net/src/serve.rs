//! Frames from the device to the client, and back.

use alloc::boxed::Box;
use core::fmt;

use host_virtio::DriverError;
use host_virtio::net::Net;
use net_link::{CONNECT, Nonsense, Receiver, Sender, address_to_words};
use runtime::abi::message::Message;
use runtime::abi::operation::Permissions;
use runtime::abi::status::Status;
use runtime::channel::{Endpoint, Received};
use runtime::event::Event;
use runtime::shared::SharedMemory;

/// Frames each way between two looks at what was called.
const FRAMES_AT_ONCE: u32 = 64;

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The device.
    Driver(DriverError),
    /// The client talks nonsense.
    Client,
    /// It has connected once more: it is to have a link of which nothing is left.
    Again,
    /// As many frames have come as it was to carry.
    Enough,
}

impl From<DriverError> for End {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Driver(status.into())
    }
}

impl From<Nonsense> for End {
    fn from(_: Nonsense) -> Self {
        Self::Client
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver(error) => write!(f, "{error}"),
            Self::Client => write!(f, "the client talks nonsense"),
            Self::Again => write!(f, "the client connects again"),
            Self::Enough => write!(f, "has carried as many frames as it was to"),
        }
    }
}

/// The client, once it has connected.
struct Client {
    event: Event,
    sender: Sender<'static>,
    receiver: Receiver<'static>,
}

/// What is carried.
struct Carrier {
    net: Net,
    client: Option<Client>,
    /// Frames until it ends.
    left: Option<u32>,
}

impl Client {
    /// Of what CONNECT passes.
    fn new(memory: SharedMemory, event: Event) -> Result<Self, End> {
        let mapping = memory.map(Permissions::READ | Permissions::WRITE)?;
        // For as long as the process lives, which has one client.
        let words = Box::leak(Box::new(mapping)).words();
        let (sender, receiver) = Sender::of_server(words).ok_or(End::Client)?;
        Ok(Self { event, sender, receiver })
    }
}

impl Carrier {
    fn count(&mut self) -> Result<(), End> {
        match &mut self.left {
            Some(0) => Err(End::Enough),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Carries what there is, some of it at a time. Returns whether there may be more.
    fn carry(&mut self) -> Result<bool, End> {
        let mut more = false;
        for _ in 0..FRAMES_AT_ONCE {
            let (received, sent) = (self.receive()?, self.send()?);
            more = received || sent;
            if !more {
                break;
            }
            self.count()?;
        }
        // Once for all of them: an access to the device is dearer than to carry a frame.
        self.net.notify();
        if let Some(client) = &mut self.client {
            // Both before the signal, which is one for the two.
            let (is_new, is_room) = (client.sender.publish(), client.receiver.release());
            if is_new || is_room {
                client.event.signal()?;
            }
        }
        Ok(more)
    }

    /// A frame from the device to the client. Where that has no room, frames stay with the device, and it has
    /// no buffer for more: so the host learns to wait.
    fn receive(&mut self) -> Result<bool, End> {
        let Some(client) = &mut self.client else { return Ok(false) };
        let Some(slot) = client.sender.room()? else { return Ok(false) };
        let Some(bytes) = self.net.receive(slot)? else { return Ok(false) };
        client.sender.put(bytes)?;
        Ok(true)
    }

    /// A frame from the client to the device.
    fn send(&mut self) -> Result<bool, End> {
        let Some(client) = &mut self.client else { return Ok(false) };
        // Both before it is taken: there is no way to put a frame back.
        if !client.receiver.has_frame()? || !self.net.has_room()? {
            return Ok(false);
        }
        let Some(frame) = client.receiver.take()? else { return Ok(false) };
        self.net.send(frame.words, frame.bytes)?;
        Ok(true)
    }
}

/// Replies to a call. `lifeline`: an endpoint at which nobody receives any more.
fn connect(
    carrier: &mut Carrier,
    message: &Message,
    event: Event,
    lifeline: Endpoint,
) -> Result<Message, End> {
    if carrier.client.is_some() {
        // Frames of the link that it has lost are still here. The next process has none.
        return Err(End::Again);
    }
    // Handles that were not asked for would stay here; with this process they go.
    let [memory, theirs, 0, 0] = message.handles else { return Err(End::Client) };
    if message.words != CONNECT {
        return Err(End::Client);
    }
    carrier.client = Some(Client::new(SharedMemory(memory), Event(theirs))?);
    let channel = lifeline.channel(0)?;
    let words = address_to_words(carrier.net.address);
    Ok(Message { words, handles: [event.0, channel.0, 0, 0], ..Message::default() })
}

/// An endpoint whose callers wait until this process has ended: it is their server, and never receives.
fn lifeline() -> Result<Endpoint, Status> {
    let endpoint = Endpoint::try_new()?;
    // Without waiting: it is enough to have received once, and the kernel tells callers of this process's
    // end.
    match endpoint.receive(&mut Message::default()) {
        Err(Status::TimedOut) => Ok(endpoint),
        Err(status) => Err(status),
        Ok(_) => Err(Status::WrongState),
    }
}

fn run(carrier: &mut Carrier, event: Event, endpoint: Endpoint) -> Result<(), End> {
    let lifeline = lifeline()?;
    let mut reply: Option<Message> = None;
    loop {
        let more = carrier.carry()?;
        let mut message = reply.take().unwrap_or_default();
        // With more to do, this is only a look.
        message.deadline_tsc = if more { 0 } else { u64::MAX };
        // A call that is not replied to does not come back until the process has ended: `reply` is there for
        // each.
        match endpoint.reply_and_receive(&mut message) {
            Ok(Received::Call) => reply = Some(connect(carrier, &message, event, lifeline)?),
            Ok(Received::Notification) | Err(Status::TimedOut) => {}
            Err(status) => return Err(status.into()),
        }
    }
}

/// Serves until the device, or the client, cannot be worked with any more. Returns why.
pub fn serve(net: Net, event: Event, endpoint: Endpoint, frames: Option<u32>) -> End {
    let mut carrier = Carrier { net, client: None, left: frames };
    match run(&mut carrier, event, endpoint) {
        Ok(()) => End::Enough,
        Err(end) => end,
    }
}
