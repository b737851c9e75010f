//! The process that drives a disk of the host's and serves its blocks to one other process.
//!
//! ```text
//! channel disk
//! process host-block
//!   grant system r
//!   grant disk-function s       # host-pci gives the function by it
//!   grant disk-endpoint a
//!   set function disk-function
//!   set serve disk
//!   on-end restart
//! ```
//!
//! The client's data are in memory that it shares with this process; the host's device sees a copy of them in
//! memory of its own. When the device is silent, or writes nonsense, the request fails and the process ends:
//! init starts another one, which claims the function anew.
#![no_std]
#![forbid(unsafe_code)]

mod serve;

use host_virtio::DriverError;
use host_virtio::block::Disk;
use host_virtio::given::Given;
use runtime::Start;

/// How many seconds a request may take.
const REQUEST_SECONDS: u64 = 30;

/// The process.
pub fn program(start: &Start) -> u32 {
    run(start, None)
}

/// The same, with a driver that waits for no more than so many requests, if that is given: the next one is
/// left to the device as if that were silent.
pub fn run(start: &Start, requests: Option<u32>) -> u32 {
    let given = match Given::of(start) {
        Ok(given) => given,
        Err(what) => {
            log::error!("lacks {what}");
            return 1;
        }
    };
    let started = host_virtio::claim(given.function)
        .map_err(DriverError::from)
        .and_then(|function| Disk::start(function, given.ticks_second, REQUEST_SECONDS));
    let mut disk = match started {
        Ok(disk) => disk,
        Err(error) => {
            log::error!("no disk: {error}");
            return 1;
        }
    };
    log::info!("a disk of {} sectors, {:?}", disk.capacity, disk.features);
    // Whatever it is, the process ends with it: init starts another, which claims the disk anew and resets
    // it.
    let error = serve::serve(&mut disk, given.endpoint, requests);
    log::error!("{error}");
    1
}
