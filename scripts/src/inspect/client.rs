//! A connection to a machine's live view.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inspect_protocol::{
    ANSWER_MAX, ERROR, Exits, Item, LogPart, Machine, OK, Process, Request, Traced, VERSION,
};

use super::lines::{Lines, Received};

/// How long an answer may take: the guest goes first.
const ANSWER: Duration = Duration::from_secs(60);
/// How often the view is greeted until it answers: before it runs, nobody reads what comes.
const GREETING: Duration = Duration::from_millis(300);
/// How long a read waits at most, before it is looked at the clock.
const LOOK: Duration = Duration::from_millis(50);
/// The most lines of an answer: whoever sends more is no live view.
const LINES_MAX: usize = 20_000;

/// About how many exits are asked for at once.
const TRACE_MAX: usize = 512;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No socket, or nobody at it.
    #[error("no machine with a live view at {path}: start one with scripts/run --inspect ({error})")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The socket.
    #[error("the live view's socket: {0}")]
    Io(#[from] std::io::Error),
    /// The machine has ended, or somebody else has connected.
    #[error("the machine has closed the connection")]
    Closed,
    /// No answer in time.
    #[error("no answer to '{request}' within {} s", limit.as_secs())]
    Late {
        /// What was asked.
        request: String,
        /// For how long it was waited.
        limit: Duration,
    },
    /// The view refuses.
    #[error("the live view says to '{request}': {word}")]
    Refused {
        /// What was asked.
        request: String,
        /// Its word.
        word: String,
    },
    /// Another version.
    #[error("the live view speaks version {0} of the protocol, this program {VERSION}")]
    Version(String),
    /// Not of the protocol.
    #[error("the live view answers '{request}' by what is none: {line}")]
    Strange {
        /// What was asked.
        request: String,
        /// The line, cut.
        line: String,
    },
}

/// The connection.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    lines: Lines,
}

impl Client {
    /// Connects to a machine's socket, and greets its view until that answers, for as long as `limit`.
    ///
    /// # Errors
    /// When there is no socket, or no view answers.
    pub fn connect(socket: &Path, limit: Duration) -> Result<Self, AskError> {
        let deadline = Instant::now() + limit;
        // The machine may just have been started: its socket comes a moment later.
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() >= deadline => {
                    return Err(AskError::Connect { path: socket.into(), error });
                }
                Err(_) => std::thread::sleep(LOOK.min(limit)),
            }
        };
        // Reads come back now and then, so that deadlines are looked at.
        stream.set_read_timeout(Some(LOOK))?;
        let mut client = Self { stream, lines: Lines::default() };
        client.greet(deadline, limit)?;
        Ok(client)
    }

    /// Greets until the last greeting is answered: what was asked before, by another client too, is then
    /// answered as well.
    fn greet(&mut self, deadline: Instant, limit: Duration) -> Result<(), AskError> {
        while Instant::now() < deadline {
            // A number by chance: the answer to another client's greeting has another.
            let request = Request::Hello(u64::from(fastrand::u32(..))).to_string();
            // The first line end ends what another client may have left unfinished.
            self.send(&format!("\n{request}\n"))?;
            if let Some(version) = self.greeting(&format!("{request} "))? {
                return match version.parse() {
                    // The greeting's own end is still to come.
                    Ok(VERSION) => self.answer(&request).map(drop),
                    _ => Err(AskError::Version(version)),
                };
            }
        }
        Err(AskError::Late { request: "hello".to_owned(), limit })
    }

    /// Waits for the answer to a greeting, which begins so, and returns the rest of its line.
    fn greeting(&mut self, beginning: &str) -> Result<Option<String>, AskError> {
        let until = Instant::now() + GREETING;
        loop {
            match self.lines.next(&mut self.stream, until)? {
                Received::Late => return Ok(None),
                Received::Closed => return Err(AskError::Closed),
                // Somebody else's answer, cut off in the middle: begin anew behind it.
                Received::TooLong => self.lines = Lines::default(),
                Received::Line(line) => {
                    if let Some(rest) = line.strip_prefix(beginning) {
                        return Ok(Some(rest.to_owned()));
                    }
                }
            }
        }
    }

    fn send(&mut self, text: &str) -> Result<(), AskError> {
        Ok(self.stream.write_all(text.as_bytes())?)
    }

    /// The lines until the one that ends an answer.
    fn answer(&mut self, request: &str) -> Result<Vec<String>, AskError> {
        // For the whole answer: with a limit for each line there would be no end.
        let deadline = Instant::now() + ANSWER;
        let mut lines = Vec::new();
        loop {
            let line = match self.lines.next(&mut self.stream, deadline)? {
                Received::Line(line) => line,
                Received::Late => return Err(AskError::Late { request: request.to_owned(), limit: ANSWER }),
                Received::Closed => return Err(AskError::Closed),
                Received::TooLong => {
                    return Err(strange(request, &format!("a line of more than {ANSWER_MAX} bytes")));
                }
            };
            if line == OK {
                return Ok(lines);
            }
            if let Some(word) = line.strip_prefix(ERROR) {
                let (request, word) = (request.to_owned(), word.trim().to_owned());
                return Err(AskError::Refused { request, word });
            }
            if lines.len() >= LINES_MAX {
                return Err(strange(request, "more lines than it may have"));
            }
            lines.push(line);
        }
    }

    /// Sends any line and returns the answer's lines.
    ///
    /// # Errors
    /// [`AskError`]; the view's refusal is one as well.
    pub fn ask_line(&mut self, line: &str) -> Result<Vec<String>, AskError> {
        self.send(&format!("{line}\n"))?;
        self.answer(line)
    }

    /// Begins a line, and leaves.
    ///
    /// # Errors
    /// When the machine has ended.
    pub fn leave(mut self, beginning: &str) -> Result<(), AskError> {
        self.send(beginning)
    }

    fn ask<I: Item>(&mut self, request: Request) -> Result<Vec<I>, AskError> {
        let request = request.to_string();
        let lines = self.ask_line(&request)?;
        lines.iter().map(|line| I::parse(line).ok_or_else(|| strange(&request, line))).collect()
    }

    fn ask_one<I: Item>(&mut self, request: Request) -> Result<I, AskError> {
        let mut items = self.ask(request)?;
        let one = items.pop().filter(|_| items.is_empty());
        one.ok_or_else(|| strange(&request.to_string(), "not one line"))
    }

    /// The machine.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn machine(&mut self) -> Result<Machine, AskError> {
        self.ask_one(Request::Machine)
    }

    /// The processes.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn processes(&mut self) -> Result<Vec<Process>, AskError> {
        self.ask(Request::Processes)
    }

    /// A part of the log, from a byte on.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn log_part(&mut self, from: u64) -> Result<LogPart, AskError> {
        self.ask_one(Request::Log(from))
    }

    /// All of the log from a byte on: its text, how much of it is lost, and the number of the byte behind.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn log(&mut self, mut from: u64) -> Result<LogPart, AskError> {
        let mut all: Option<LogPart> = None;
        loop {
            let part = self.log_part(from)?;
            // A log that grows as fast as it is read would never end.
            let end = all.as_ref().map_or(part.end, |all| all.end);
            from = part.from + part.bytes;
            let all = all.get_or_insert(LogPart { bytes: 0, text: String::new(), lost: 0, end, ..part });
            all.lost += part.lost;
            all.bytes += part.bytes;
            all.text += &part.text;
            if part.bytes == 0 || from >= end {
                return Ok(LogPart { end: from, ..all.clone() });
            }
        }
    }

    /// What the guest exits for.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn exits(&mut self) -> Result<Vec<Exits>, AskError> {
        self.ask(Request::Exits)
    }

    /// Single exits from a number on, as many as there are, but no more than [`TRACE_MAX`]: a guest that
    /// runs adds some all the time.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn trace(&mut self, mut from: u64) -> Result<Vec<Traced>, AskError> {
        let mut all: Vec<Traced> = Vec::new();
        while all.len() < TRACE_MAX {
            let part: Vec<Traced> = self.ask(Request::Trace(from))?;
            // Nothing newer: all was read.
            let Some(last) = part.last() else { break };
            from = last.number.saturating_add(1);
            all.extend(part);
        }
        Ok(all)
    }
}

fn strange(request: &str, line: &str) -> AskError {
    // Cut, as it may be anything of any length.
    AskError::Strange { request: request.to_owned(), line: line.chars().take(200).collect() }
}

#[cfg(test)]
mod tests;
