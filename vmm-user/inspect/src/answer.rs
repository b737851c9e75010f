//! From a line to the answer to it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use inspect_protocol::{
    ERROR, Exits, Item, LogPart, Machine, Mistake, OK, Process, Request, Traced, VERSION,
};

/// What can be looked at.
pub trait Views {
    /// The machine.
    fn machine(&self) -> Result<Machine, Mistake>;
    /// All processes.
    fn processes(&self) -> Result<Vec<Process>, Mistake>;
    /// The log from a byte on, as much as one answer takes.
    fn log(&self, from: u64) -> Result<LogPart, Mistake>;
    /// What the guest exits for.
    fn exits(&self) -> Result<Vec<Exits>, Mistake>;
    /// Single exits from a number on, as many as one answer takes.
    fn trace(&self, from: u64) -> Result<Vec<Traced>, Mistake>;
}

/// The answer to a line.
pub fn to(line: &[u8], views: &impl Views) -> String {
    // Whole before its first byte is sent: a failure in the middle leaves no half of an answer.
    match Request::parse(line).and_then(|request| items(request, views)) {
        Ok(items) => items + OK + "\n",
        Err(mistake) => error(mistake),
    }
}

/// The answer to a line that was longer than a request can be.
pub fn too_long() -> String {
    error(Mistake::TooLong)
}

fn error(mistake: Mistake) -> String {
    format!("{ERROR} {mistake}\n")
}

fn items(request: Request, views: &impl Views) -> Result<String, Mistake> {
    Ok(match request {
        Request::Hello(number) => format!("hello {number} {VERSION}\n"),
        Request::Machine => lines(&[views.machine()?]),
        Request::Processes => lines(&views.processes()?),
        Request::Log(from) => lines(&[views.log(from)?]),
        Request::Exits => lines(&views.exits()?),
        Request::Trace(from) => lines(&views.trace(from)?),
    })
}

fn lines<I: Item>(items: &[I]) -> String {
    items.iter().map(|item| item.to_line() + "\n").collect()
}

#[cfg(test)]
mod tests;
