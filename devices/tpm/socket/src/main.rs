//! A TPM 2.0 as a program that speaks swtpm's socket protocol, with its usual options.
//!
//! Commands come over the data channel as they are; the control channel has commands of its own
//! (`control`). One client is served at a time, as swtpm does it.

mod control;
mod options;
mod place;
mod server;
#[cfg(test)]
mod tests;

use anyhow::Result;
use clap::Parser;
use options::Cli;

fn main() -> Result<()> {
    let Cli::Socket(options) = Cli::parse();
    if options.daemon {
        return server::start_in_background();
    }
    server::Server::new(&options)?.serve()
}
