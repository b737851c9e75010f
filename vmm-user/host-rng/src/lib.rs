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

use entropy_link::{BYTES, GIVE, REFUSAL, to_words};
use host_virtio::DriverError;
use host_virtio::given::Given;
use host_virtio::rng::Rng;
use runtime::Start;
use runtime::serve::{Outcome, serve};

/// How many seconds a request may take.
const REQUEST_SECONDS: u64 = 10;

/// The process.
pub fn program(start: &Start) -> u32 {
    let given = match Given::of(start) {
        Ok(given) => given,
        Err(what) => {
            log::error!("lacks {what}");
            return 1;
        }
    };
    let started = host_virtio::claim(given.function)
        .map_err(DriverError::from)
        .and_then(|function| Rng::start(function, given.ticks_second, REQUEST_SECONDS));
    let mut rng = match started {
        Ok(rng) => rng,
        Err(error) => {
            log::error!("no entropy: {error}");
            return 1;
        }
    };
    log::info!("an entropy device");
    let end = serve(given.endpoint, |message| {
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
