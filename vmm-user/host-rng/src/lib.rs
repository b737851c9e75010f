//! The process that drives an entropy device of the host's and gives its numbers to other processes.
//!
//! ```text
//! channel entropy
//! process host-rng
//!   grant system r
//!   grant rng-function s       # host-pci gives the function by it
//!   grant entropy-endpoint a
//!   set function rng-function
//!   set serve entropy
//!   on-end ignore
//! ```
//!
//! When there is no such device, when it is silent, or writes nonsense, the process ends. Nobody needs it:
//! its clients have the processor's numbers, and what came before is mixed into them.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;

use entropy_link::{BYTES, GIVE, REFUSAL, to_words};
use host_virtio::DriverError;
use host_virtio::rng::Rng;
use runtime::abi::operation::SystemInfo;
use runtime::channel::{Channel, Endpoint};
use runtime::serve::{Outcome, serve};
use runtime::{Start, call};

/// How many seconds a request may take.
const REQUEST_SECONDS: u64 = 10;

/// What the process is given.
struct Handles {
    /// Gives the function.
    function: Channel,
    /// Where the clients call.
    endpoint: Endpoint,
    ticks_second: u64,
}

/// The error names what is missing.
fn handles(start: &Start) -> Result<Handles, &'static str> {
    let function = start.setting("function").and_then(|name| start.handle(name)).map(Channel);
    let endpoint = start.setting("serve").and_then(|name| start.handle(&format!("{name}-endpoint")));
    let info = start.handle("system").and_then(|system| call(system, SystemInfo::default()).ok());
    Ok(Handles {
        function: function.ok_or("what `function` names")?,
        endpoint: endpoint.map(Endpoint).ok_or("the endpoint of what `serve` names")?,
        ticks_second: info.ok_or("system")?.tsc_hz,
    })
}

/// The process.
pub fn program(start: &Start) -> u32 {
    let handles = match handles(start) {
        Ok(handles) => handles,
        Err(what) => {
            log::error!("lacks {what}");
            return 1;
        }
    };
    let started = host_virtio::claim(handles.function)
        .map_err(DriverError::from)
        .and_then(|function| Rng::start(function, handles.ticks_second, REQUEST_SECONDS));
    let mut rng = match started {
        Ok(rng) => rng,
        Err(error) => {
            log::error!("no entropy: {error}");
            return 1;
        }
    };
    log::info!("an entropy device");
    let end = serve(handles.endpoint, |message| {
        if message.words != GIVE {
            return Outcome { words: REFUSAL, given: 0, end: None };
        }
        let mut numbers = [0; BYTES];
        match rng.fill(&mut numbers) {
            Ok(()) => Outcome { words: to_words(&numbers), given: 0, end: None },
            // The client still gets its reply.
            Err(error) => Outcome { words: REFUSAL, given: 0, end: Some(error) },
        }
    });
    // Whatever it is: a driver is not meant to end.
    log::error!("{end}");
    1
}
