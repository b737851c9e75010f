//! The process that serves files to others: those of the image, to be read, in the folder `boot/`, and any
//! others, which are in memory and gone when the process ends.
//!
//! ```text
//! channel ram
//! process ram-files
//!   grant log w
//!   grant files r               # those of the image
//!   grant ram-endpoint a
//!   set serve ram
//! process somebody
//!   files ram rw notes/         # its name space: the folder notes/
//! ```
//!
//! For each name space init says the key of its channel, and what it allows: `set space.KEY ACCESS FOLDER`.
//! A name space has its own limits ([`limits`]), so that no client takes from another: what it makes, opens
//! and maps counts for it alone. A file gets longer only by who made it.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod contents;
pub mod machine;
#[cfg(not(target_os = "none"))]
pub mod model;
pub mod space;
pub mod store;

use alloc::format;

use runtime::Start;
use runtime::channel::Endpoint;

use crate::machine::Host;
use crate::space::{Server, Space};

/// What a name space may use.
pub mod limits {
    /// Name spaces that a server has.
    pub const SPACES: usize = 8;
    /// Files that one makes.
    pub const FILES: usize = 32;
    /// Files that it has open.
    pub const OPEN: usize = 16;
    /// Files that it has mapped.
    pub const MAPPED: usize = 2;
    /// Bytes of a file that is in memory, or mapped.
    pub const FILE_BYTES: u64 = 256 * 1024;
    /// Bytes of all files that it made.
    pub const BYTES: u64 = 512 * 1024;
    /// Bytes of its folder's name.
    pub const FOLDER: usize = 32;
}

/// The process.
pub fn program(start: &Start) -> u32 {
    let name = start.setting("serve").unwrap_or_default();
    let Some(endpoint) = start.handle(&format!("{name}-endpoint")).map(Endpoint) else {
        log::error!("lacks the setting serve, or the endpoint of that name");
        return 1;
    };
    let spaces: Option<alloc::vec::Vec<Space>> =
        start.settings().filter_map(|(key, value)| Space::parse(key, value)).collect();
    let Some(spaces) = spaces.filter(|spaces| spaces.len() <= limits::SPACES) else {
        log::error!("a name space that makes no sense, or more than {}", limits::SPACES);
        return 1;
    };
    let machine = match Host::try_new(start.handle("files"), spaces.len()) {
        Ok(machine) => machine,
        Err(status) => {
            log::error!("no address space: {status}");
            return 1;
        }
    };
    log::info!("{} name spaces", spaces.len());
    let status = file_link::serve::serve(endpoint, &mut Server::new(machine, spaces));
    log::error!("{status}");
    1
}
