//! The process that knows the host's PCI bus: it finds the functions that drivers want, decides where their
//! BARs go, and gives each driver the function that `init.conf` says.
//!
//! ```text
//! channel disk-function
//! process host-pci
//!   grant host-pci rc
//!   grant disk-function-endpoint a
//!   set give.disk-function 1af4:1042     # vendor:device in hexadecimal, and which of them, from 0 (0)
//! ```
//!
//! A driver calls the channel, with any message, and gets the function as the first handle of the reply, or
//! a status that says why not. The function is the driver's: when it has ended, the next call on the channel
//! has the function claimed again.
//!
//! All that configuration space says is hostile; the kernel holds what this process asks against its own
//! rules, so a mistake here costs a device.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod places;
pub mod scan;
mod serve;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec::Vec;

use runtime::abi::operation::Handle;
use runtime::channel::Endpoint;
use runtime::{Start, thread};

use crate::scan::Wanted;

/// What the names of settings begin with that say who gets what.
const GIVE: &str = "give.";

/// Which function goes to whom.
struct Gift {
    endpoint: Endpoint,
    wanted: Wanted,
}

fn gifts(start: &Start) -> Option<Vec<Gift>> {
    let named = start.settings().filter_map(|(key, value)| Some((key.strip_prefix(GIVE)?, value)));
    named
        .map(|(name, value)| {
            let endpoint = start.handle(&format!("{name}-endpoint")).map(Endpoint);
            let gift = endpoint.zip(Wanted::parse(value));
            if gift.is_none() {
                log::error!("{GIVE}{name} {value}: no such endpoint, or not VENDOR:DEVICE [INDEX]");
            }
            gift.map(|(endpoint, wanted)| Gift { endpoint, wanted })
        })
        .collect()
}

/// The process. It ends when one of its channels cannot be served.
pub fn program(start: &Start) -> u32 {
    let Some(pci) = start.handle("host-pci") else {
        log::error!("was given no PCI bus");
        return 1;
    };
    let Some(gifts) = gifts(start) else { return 1 };
    list(pci);
    let mut gifts = gifts.into_iter();
    let Some(first) = gifts.next() else {
        log::warn!("no {GIVE} setting: nobody is given a function");
        return 0;
    };
    for gift in gifts {
        // With one channel the whole process ends: init starts it anew, and no driver waits for a thread that
        // is gone.
        let serving = move || {
            serve::serve(pci, gift.endpoint, gift.wanted);
            runtime::exit(1)
        };
        if let Err(status) = thread::spawn(0, 2, serving) {
            log::error!("no thread to serve with: {status}");
            return 1;
        }
    }
    serve::serve(pci, first.endpoint, first.wanted);
    1
}

/// Logs what there is.
fn list(pci: Handle) {
    let bus = serve::KernelBus(pci);
    let found = scan::functions(&bus)
        .map(|function| format!(" {:02x}.{} {}", function.number >> 3, function.number & 7, function.name()));
    log::info!("on the host's PCI bus:{}", found.collect::<Vec<_>>().concat().to_owned());
}
