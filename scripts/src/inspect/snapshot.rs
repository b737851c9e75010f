//! What was seen at one moment.

use clap::ValueEnum;
use inspect_protocol::{Exits, LogPart, Machine, Process, Traced};
use serde::Serialize;

use super::{AskError, Client};

/// What can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum View {
    /// Time, processors, memory
    Machine,
    /// Processes: state, threads, handles, memory, time
    Processes,
    /// What the guest exits for, and who handles it
    Exits,
    /// The log
    Log,
    /// Single exits
    Trace,
}

/// What was asked for, and is there.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// The machine, which is asked for always: its clock is everything's.
    pub machine: Option<Machine>,
    /// The processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<Vec<Process>>,
    /// What the guest exits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exits: Option<Vec<Exits>>,
    /// The log, from where the last snapshot's ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogPart>,
    /// Single exits, from where the last snapshot's ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Vec<Traced>>,
}

impl Snapshot {
    /// Where the next one's log begins.
    fn log_end(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.end)
    }

    /// Where the next one's trace begins.
    fn trace_end(&self) -> u64 {
        let numbers = self.trace.iter().flatten().map(|exit| exit.number + 1);
        numbers.max().unwrap_or(0)
    }
}

/// Looks once. `last`: what was seen before; a log or trace goes on from there. A view that the image does
/// not have is left out.
///
/// # Errors
/// [`AskError`].
pub fn look(client: &mut Client, views: &[View], last: &Snapshot) -> Result<Snapshot, AskError> {
    let mut seen = Snapshot { machine: Some(client.machine()?), ..Snapshot::default() };
    for view in views {
        match view {
            View::Machine => {}
            View::Processes => seen.processes = present(client.processes())?,
            View::Exits => seen.exits = present(client.exits())?,
            View::Log => seen.log = present(client.log(last.log_end()))?,
            View::Trace => seen.trace = present(client.trace(last.trace_end()))?,
        }
    }
    Ok(seen)
}

fn present<T>(answer: Result<T, AskError>) -> Result<Option<T>, AskError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        // The image was built without it: nothing is wrong.
        Err(AskError::Refused { word, .. }) if word == "absent" => Ok(None),
        Err(error) => Err(error),
    }
}
