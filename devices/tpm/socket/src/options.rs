//! The command line: the options of `swtpm socket` that matter here. Others are accepted where nothing
//! depends on them.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser};

/// A TPM 2.0 behind sockets
#[derive(Parser)]
#[command(name = "tpm2-socket")]
pub enum Cli {
    /// Serves a data and a control channel over TCP or Unix sockets
    Socket(Socket),
}

/// The options of `socket`.
#[derive(Args)]
pub struct Socket {
    /// The TPM is a TPM 2.0, which is the only kind there is
    #[arg(long)]
    pub tpm2: bool,
    /// The data channel: type=tcp,port=N[,bindaddr=A][,disconnect] or type=unixio,path=P
    #[arg(long)]
    pub server: Option<String>,
    /// The control channel: as the data channel
    #[arg(long)]
    pub ctrl: Option<String>,
    /// Where the state is kept: dir=D
    #[arg(long)]
    pub tpmstate: String,
    /// not-need-init, startup-clear, startup-state, startup-none; by commas
    #[arg(long, default_value = "")]
    pub flags: String,
    /// The key of the state: file=F, with 32 bytes or 64 hexadecimal digits
    #[arg(long)]
    pub key: Option<String>,
    /// Write the process's number into a file: file=F
    #[arg(long)]
    pub pid: Option<String>,
    /// End when the client closes the data channel
    #[arg(short, long)]
    pub terminate: bool,
    /// Go on in the background once the sockets are there
    #[arg(short, long)]
    pub daemon: bool,
    /// Accepted; messages go to standard error
    #[arg(long)]
    pub log: Option<String>,
    /// Accepted
    #[arg(long)]
    pub locality: Option<String>,
    /// Accepted
    #[arg(long)]
    pub seccomp: Option<String>,
}

/// The value of a key in an option such as "type=tcp,port=1".
pub fn value<'a>(option: &'a str, key: &str) -> Option<&'a str> {
    option.split(',').find_map(|part| part.split_once('=').filter(|(name, _)| *name == key).map(|(_, v)| v))
}

/// Where a channel listens.
pub enum Address {
    /// Address and port.
    Tcp(String, u16),
    /// A path.
    Unix(PathBuf),
}

impl Address {
    /// Reads a channel's option.
    ///
    /// # Errors
    ///
    /// The option is none that is known.
    pub fn parse(option: &str) -> Result<Address> {
        match value(option, "type") {
            Some("unixio") => Ok(Address::Unix(value(option, "path").context("path= is missing")?.into())),
            Some("tcp") | None => {
                let port = value(option, "port").context("port= is missing")?.parse()?;
                Ok(Address::Tcp(value(option, "bindaddr").unwrap_or("127.0.0.1").to_owned(), port))
            }
            Some(other) => bail!("type={other} is unknown"),
        }
    }
}

impl Socket {
    /// Whether a flag is given.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.split(',').any(|given| given == flag)
    }
}
