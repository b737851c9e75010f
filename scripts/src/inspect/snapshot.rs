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
    /// The number behind the last exit that was seen, here or before.
    #[serde(skip)]
    pub(super) trace_end: u64,
}

impl Snapshot {
    /// Where the next one's log begins.
    fn log_end(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.end)
    }

    /// Sets where the next one's trace begins. Where nothing new was seen, that is where this one's began.
    fn end_trace(&mut self, last: &Snapshot) {
        let numbers = self.trace.iter().flatten().map(|exit| exit.number + 1);
        self.trace_end = numbers.max().unwrap_or(last.trace_end);
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
            // From where the last one ended, so that no line is shown twice.
            View::Log => seen.log = present(client.log(last.log_end()))?,
            View::Trace => seen.trace = present(client.trace(last.trace_end))?,
        }
    }
    seen.end_trace(last);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(numbers: &[u64], last: &Snapshot) -> Snapshot {
        let exit = |number: &u64| Traced {
            number: *number,
            vcpu: 0,
            tsc: 0,
            ticks: 0,
            reason: "port".into(),
            place: None,
            by: "uart".into(),
            rip: 0,
        };
        let trace = Some(numbers.iter().map(exit).collect());
        let mut seen = Snapshot { trace, ..Snapshot::default() };
        seen.end_trace(last);
        seen
    }

    #[test]
    fn a_trace_goes_on_behind_the_last_exit_also_after_a_pause() {
        let first = seen(&[3, 4], &Snapshot::default());
        assert_eq!(first.trace_end, 5);
        let pause = seen(&[], &first);
        assert_eq!(pause.trace_end, 5);
        assert_eq!(seen(&[5], &pause).trace_end, 6);
    }
}
