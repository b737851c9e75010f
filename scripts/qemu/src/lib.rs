//! The one place that knows QEMU.
//!
//! [`Qemu`] is a program that was found and checked. A [`Machine`] says what to run; [`Machine::command`]
//! composes the command line, [`Machine::start`] starts it as a [`Running`], which is waited for with a time
//! limit and gives an [`Ended`]: the [`Outcome`] in one word, QEMU's status, the time it took. The guest's
//! console is a file, each line after the seconds since the start; the log of a debug image is a file as
//! well.
//!
//! A machine may have a control socket ([`Qmp`]) and a debugger stub ([`Gdb`]), both for use while it runs.
//! By the first every instruction can be logged ([`Qmp::trace`], [`executed`]).

mod console;
mod error;
mod gdb;
mod machine;
mod outcome;
mod process;
mod program;
mod qmp;
mod running;
mod shell;
mod trace;

pub use console::{read_text, seconds_to, wait_for};
pub use error::QemuError;
pub use gdb::Gdb;
pub use machine::{Boot, Machine, Serial};
pub use outcome::Outcome;
pub use program::{Qemu, Version};
pub use qmp::Qmp;
pub use running::{Ended, Running};
pub use shell::shell;
pub use trace::executed;
