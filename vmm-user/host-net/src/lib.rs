//! The process that drives a network device of the host's and carries its frames from and to one other
//! process.
//!
//! ```text
//! channel net
//! process host-net
//!   grant system r
//!   grant net-function s       # host-pci gives the function by it
//!   grant net-endpoint ac
//!   set function net-function
//!   set serve net
//!   on-end restart 1000000
//! ```
//!
//! Frames are in memory that the client shares with this process (`net-link`); the host's device sees copies
//! of them in memory of its own. When the device or the client talks nonsense the process ends: init starts
//! another one, which claims the function anew and has no frames of before.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod serve;

use host_virtio::DriverError;
use host_virtio::given::Given;
use host_virtio::net::Net;
use runtime::Start;
use runtime::event::Event;

/// Starts the device. What it has to say, and what the client has, is a notification at the endpoint.
fn open(given: &Given) -> Result<(Net, Event), DriverError> {
    let event = Event::try_new()?;
    // At the endpoint where calls come in: one thread waits for both, and needs no other.
    given.endpoint.bind(event, 0)?;
    let function = host_virtio::claim(given.function)?;
    Ok((Net::start(function, given.ticks_second, event)?, event))
}

/// The process.
pub fn program(start: &Start) -> u32 {
    run(start, None)
}

/// The same, with a driver that ends after so many frames, if that is given.
pub fn run(start: &Start, frames: Option<u32>) -> u32 {
    let given = match Given::of(start) {
        Ok(given) => given,
        Err(what) => {
            log::error!("lacks {what}");
            return 1;
        }
    };
    let (net, event) = match open(&given) {
        Ok(opened) => opened,
        Err(error) => {
            log::error!("no network: {error}");
            return 1;
        }
    };
    log::info!("a network device, {:02x?}", net.address);
    let end = serve::serve(net, event, given.endpoint, frames);
    // Whatever it is: a driver is not meant to end.
    log::error!("{end}");
    1
}
