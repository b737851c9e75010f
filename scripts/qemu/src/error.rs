//! What can go wrong with QEMU, each with what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::Version;

/// Why QEMU was not found, not started or not understood.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// No such program.
    #[error("there is no QEMU at {0}; install the package qemu-system-x86 or name one with --qemu PATH")]
    Missing(PathBuf),
    /// It says nothing that looks like a version.
    #[error("{0} does not say its version; name a QEMU with --qemu PATH")]
    NoVersion(PathBuf),
    /// Older than what Plinth was tested with.
    #[error(
        "{path} is QEMU {version}; Plinth needs 7.2 or newer: install a newer one and name it with \
         --qemu PATH"
    )]
    TooOld {
        /// The program.
        path: PathBuf,
        /// What it says it is.
        version: Version,
    },
    /// Its TCG does not emulate AMD's nested virtualisation.
    #[error(
        "{path} has no SVM (nested AMD virtualisation) under TCG; use a stock qemu-system-x86_64 7.2 or \
         newer with --qemu PATH\n{said}"
    )]
    NoSvm {
        /// The program.
        path: PathBuf,
        /// What it printed.
        said: String,
    },
    /// It has no IGVM loader of its own.
    #[error("{path} {version} has no IGVM loader (igvm-cfg); use --loader pvh, which works with any QEMU")]
    NoIgvm {
        /// The program.
        path: PathBuf,
        /// Its version.
        version: Version,
    },
    /// A file or a socket.
    #[error("{what}: {error}")]
    Io {
        /// What was being done, with the file's name.
        what: String,
        /// Why it failed.
        error: io::Error,
    },
    /// Something that was waited for did not happen.
    #[error("{what} did not happen within {} s", limit.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        limit: Duration,
    },
    /// QEMU's control socket or debugger stub refused, or said what is not of its protocol.
    #[error("{0}")]
    Protocol(String),
}

impl QemuError {
    /// For `map_err`: an error of the system while doing `what`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}
