//! The live view's client: asks the process `inspect` of a running machine, by the machine's second serial
//! port (docs/inspect.md), and shows what it says.

mod client;
mod lines;
mod show;
mod snapshot;
pub mod timeline;

pub use client::{AskError, Client};
pub use show::Shown;
pub use snapshot::{Snapshot, View, look};
