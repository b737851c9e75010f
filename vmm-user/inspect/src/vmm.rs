//! What the VMM says, by a channel: the table of exits, and the trace.

use alloc::string::ToString;
use alloc::vec::Vec;

use inspect_protocol::watch::{Ask, OneExit, Row, Told};
use inspect_protocol::{Exits, Mistake, Traced};
use runtime::abi::exit::reason;
use runtime::abi::message::Message;
use runtime::abi::status::Status;
use runtime::channel::Channel;
use runtime::event::Event;
use runtime::{Start, syscall};

/// The most rows and exits in one answer, whoever the VMM is.
const ROWS_MAX: usize = 4096;
const EXITS_MAX: usize = 128;
/// How often a VMM that is busy counting is asked again, and the parts of a second between.
const TRIES: u32 = 200;
const TRIES_A_SECOND: u64 = 1000;
/// How long an answer may take, in parts of a second: a VMM that does not serve the channel never answers.
const ANSWERS_A_SECOND: u64 = 4;

/// The way to the VMM.
pub struct Vmm {
    channel: Channel,
    /// Nobody signals it: for waiting.
    never: Event,
    tsc_hz: u64,
}

impl Vmm {
    /// `None` if the image has none that tells.
    pub fn of(start: &Start, tsc_hz: u64) -> Option<Self> {
        let channel = Channel(start.handle("exits")?);
        Some(Self { channel, never: Event::try_new().ok()?, tsc_hz })
    }

    fn deadline(&self, parts_of_a_second: u64) -> u64 {
        syscall::tsc().saturating_add(self.tsc_hz / parts_of_a_second)
    }

    /// Asks once.
    fn call(&self, ask: Ask) -> Result<Told, Mistake> {
        let deadline_tsc = self.deadline(ANSWERS_A_SECOND);
        let mut message = Message { words: ask.words(), deadline_tsc, ..Message::default() };
        match self.channel.call(&mut message) {
            // Parsed strictly: the VMM serves a hostile guest, and may have been taken over by it.
            Ok(()) => Told::parse(&message.words).ok_or(Mistake::Refused),
            // It has ended, or never served.
            Err(Status::Disconnected | Status::TimedOut) => Err(Mistake::Absent),
            Err(_) => Err(Mistake::Refused),
        }
    }

    /// Asks until it is told.
    fn ask(&self, ask: Ask) -> Result<Told, Mistake> {
        for _ in 0..TRIES {
            match self.call(ask)? {
                // Whoever counts may have a lower priority than this process: it has to sleep.
                Told::Busy => match self.never.wait_until(self.deadline(TRIES_A_SECOND)) {
                    Ok(()) | Err(Status::TimedOut) => {}
                    Err(_) => return Err(Mistake::Refused),
                },
                told => return Ok(told),
            }
        }
        Err(Mistake::Refused)
    }

    /// All rows.
    pub fn exits(&self) -> Result<Vec<Exits>, Mistake> {
        let (mut rows, mut last) = (Vec::new(), None);
        while rows.len() < ROWS_MAX {
            match self.ask(Ask::Row(last))? {
                // A VMM that does not go on would be asked without end.
                Told::Row(row) if last.is_none_or(|last| last < row.key) => {
                    last = Some(row.key);
                    rows.push(shown_row(&row));
                }
                Told::None => return Ok(rows),
                _ => return Err(Mistake::Refused),
            }
        }
        Ok(rows)
    }

    /// Exits from a number on.
    pub fn trace(&self, mut from: u64) -> Result<Vec<Traced>, Mistake> {
        let mut exits = Vec::new();
        while exits.len() < EXITS_MAX {
            match self.ask(Ask::Exit(from))? {
                // A VMM that goes back would have the same exits shown again.
                Told::Exit(exit) if exit.number >= from => {
                    exits.push(shown_exit(&exit));
                    let Some(next) = exit.number.checked_add(1) else { break };
                    from = next;
                }
                Told::None => break,
                _ => return Err(Mistake::Refused),
            }
        }
        Ok(exits)
    }
}

fn reason_name(number: u32) -> &'static str {
    reason::NAMES.get(number as usize).copied().unwrap_or("?")
}

fn shown_row(row: &Row) -> Exits {
    Exits {
        vcpu: row.key.vcpu,
        reason: reason_name(row.key.reason).into(),
        place: row.key.place,
        by: row.by.to_string(),
        count: row.count,
        ticks: row.ticks,
    }
}

fn shown_exit(exit: &OneExit) -> Traced {
    Traced {
        number: exit.number,
        vcpu: exit.key.vcpu,
        tsc: exit.tsc,
        ticks: exit.ticks,
        reason: reason_name(exit.key.reason).into(),
        place: exit.key.place,
        by: exit.by.to_string(),
        rip: exit.rip,
    }
}
