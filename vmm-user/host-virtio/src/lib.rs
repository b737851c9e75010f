//! Drives virtio devices of the host's (virtio 1.2): the transport over PCI, split virtqueues, the block
//! device, the network device, the entropy device.
//!
//! The device is hostile. What it writes is read once, by volatile accesses, and checked: a used ring that
//! says what was never asked for, a status that there is not, or silence, ends the driver with a
//! [`DriverError`]. It cannot make the driver access anything but its windows. What it gives as data is
//! whatever it likes.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod block;
pub mod given;
mod layout;
pub mod net;
pub mod queue;
pub mod rng;
pub mod transport;

use core::fmt;

use runtime::abi::message::Message;
use runtime::abi::status::Status;
use runtime::channel::Channel;
use runtime::host_function::HostFunction;

/// Why a device cannot be driven any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverError {
    /// The kernel refused something.
    Kernel(Status),
    /// It is no modern virtio device.
    NotVirtio,
    /// It lacks something that the driver needs.
    Lacks(&'static str),
    /// It did not answer in time.
    Silent,
    /// It wrote what makes no sense.
    Nonsense,
}

impl From<Status> for DriverError {
    fn from(status: Status) -> Self {
        Self::Kernel(status)
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(status) => write!(f, "{status}"),
            Self::NotVirtio => write!(f, "the function is no modern virtio device"),
            Self::Lacks(what) => write!(f, "the device lacks {what}"),
            Self::Silent => write!(f, "the device does not answer"),
            Self::Nonsense => write!(f, "the device wrote nonsense"),
        }
    }
}

/// Gets the function of the process that knows the bus, which is at the other end of the channel.
///
/// # Errors
/// What that process or the kernel says; [`Status::NotFound`] for words that are no status.
pub fn claim(channel: Channel) -> Result<HostFunction, Status> {
    let mut message = Message { deadline_tsc: u64::MAX, ..Message::default() };
    channel.call(&mut message)?;
    match message.handles[0] {
        // The reason is a word of another process: one that is none becomes some status.
        0 => Err(Status::from_code(message.words[0] as u32 as i32).unwrap_or(Status::NotFound)),
        handle => Ok(HostFunction(handle)),
    }
}
