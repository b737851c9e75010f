//! The VMM's end: a device that lives in another process.
//!
//! It is *up* while its process answers. When that does not, it is lost: its lines go low, reads give all
//! ones, writes are dropped, until it has been greeted anew. How it was lost decides when that is tried. A
//! process that has ended costs a caller nothing, so every access asks whether there is a new one (*gone*).
//! One that hangs or talks nonsense would cost the time limit again and again: it is complained of, and asked
//! only when somebody says that something has changed (*bad*).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use devices::capability::{Platform, Width};

use crate::answer::{self, Answer, NEVER, Reply};
use crate::claim::{CLAIMS_MAX, Claim, Claims};
use crate::request::{self, Ask};
use crate::{VERSION, Words};

/// The soonest that a deadline is taken to be: a device that always wants to be looked at must not keep the
/// guest from running.
pub const SOONEST_NS: u64 = 50_000;

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The process has ended, and no other has taken its place yet.
    Ended,
    /// The time limit has passed.
    Late,
}

/// The way to the process.
pub trait Call: Send {
    /// Sends a request and waits for the answer, up to the time limit.
    fn call(&mut self, request: Words) -> Result<Words, Silence>;
    /// Which process there is now: another number for each that takes the place of one that has ended.
    fn life(&self) -> u64;
    /// Says that the process of that number hangs or talks nonsense: whoever started it is to end it, unless
    /// it has ended by itself.
    fn complain(&mut self, life: u64);
}

/// Why there is no such device when the machine is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// It does not answer.
    Silent(Silence),
    /// What it says is not the protocol, or another version of it.
    Nonsense,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent(Silence::Ended) => "its process has ended",
            Self::Silent(Silence::Late) => "its process does not answer",
            Self::Nonsense => "its process does not speak this VMM's protocol",
        })
    }
}

/// How the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// It answers.
    Up,
    /// It has ended.
    Gone,
    /// It hangs or talks nonsense, and is to be ended.
    Bad,
}

/// How it was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Silent(Silence),
    Nonsense,
    /// Another process answered than the one that was greeted.
    Replaced,
}

/// Counts, for the exit table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that were answered.
    pub calls: u64,
    /// Accesses that found nobody: all ones, or dropped.
    pub absent: u64,
    /// How often the process was found to have ended.
    pub ended: u64,
    /// How often it did not answer in time.
    pub late: u64,
    /// How often it talked nonsense.
    pub nonsense: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, absent, ended, late, nonsense } = self;
        write!(f, "{calls} calls; lost: {ended} ended, {late} late, {nonsense} nonsense; {absent} to nobody")
    }
}

/// A device in another process.
#[derive(Debug)]
pub struct RemoteDevice<C> {
    // Configuration.
    name: String,
    claims: Claims,
    // Glue.
    way: C,
    // Volatile state.
    health: Health,
    session: u32,
    /// The process that was greeted last.
    life: u64,
    /// The lines it holds high, a bit each.
    high: u128,
    deadline_ns: u64,
    counts: Counts,
}

impl<C: Call> RemoteDevice<C> {
    /// Greets the device and asks what it claims.
    pub fn connect(name: &str, way: C) -> Result<Self, ConnectError> {
        let mut device = Self {
            name: name.into(),
            claims: Claims::default(),
            way,
            health: Health::Gone,
            session: 0,
            life: 0,
            high: 0,
            deadline_ns: NEVER,
            counts: Counts::default(),
        };
        // Guest time has not begun: the board is still being made.
        device.greet(0).map_err(|loss| match loss {
            Loss::Silent(silence) => ConnectError::Silent(silence),
            Loss::Replaced => ConnectError::Silent(Silence::Ended),
            Loss::Nonsense => ConnectError::Nonsense,
        })?;
        let list = device.ask_claims()?;
        device.claims = Claims::from_list(&list).ok_or(ConnectError::Nonsense)?;
        device.health = Health::Up;
        Ok(device)
    }

    fn ask_claims(&mut self) -> Result<Vec<Claim>, ConnectError> {
        let mut list = Vec::new();
        // One more than there may be: the last question has to be answered by NO_CLAIM.
        for index in 0..=CLAIMS_MAX as u64 {
            let answer = self.send(Ask::Claim { index }.words(), 0).map_err(ConnectError::Silent)?;
            if answer[0] == u64::from(answer::code::NO_CLAIM) {
                return Ok(list);
            }
            // Also where another process has taken its place meanwhile, which knows no session: the next
            // attempt begins anew.
            list.push(Claim::read(&answer).ok_or(ConnectError::Nonsense)?);
        }
        Err(ConnectError::Nonsense)
    }

    /// The way to its process.
    pub fn way(&mut self) -> &mut C {
        &mut self.way
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it claimed when it was connected.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// How it did so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// IN.
    #[inline(always)]
    pub fn port_read(&mut self, port: u16, width: Width, platform: &mut dyn Platform) -> u32 {
        // All ones where nobody answers, as on a bus.
        self.ask(Ask::PortRead { port, width }.words(), width.mask(), platform).unwrap_or(width.mask()) as u32
    }

    /// OUT.
    #[inline(always)]
    pub fn port_write(&mut self, port: u16, width: Width, value: u32, platform: &mut dyn Platform) {
        self.ask(Ask::PortWrite { port, width, value }.words(), 0, platform);
    }

    /// A load.
    #[inline(always)]
    pub fn mmio_read(&mut self, offset: u64, width: Width, platform: &mut dyn Platform) -> u64 {
        self.ask(Ask::MmioRead { offset, width }.words(), width.mask(), platform).unwrap_or(width.mask())
    }

    /// A store.
    #[inline(always)]
    pub fn mmio_write(&mut self, offset: u64, width: Width, value: u64, platform: &mut dyn Platform) {
        self.ask(Ask::MmioWrite { offset, width, value }.words(), 0, platform);
    }

    /// When [`Self::look`] is wanted.
    #[inline(always)]
    pub fn deadline_ns(&self) -> Option<u64> {
        (self.deadline_ns != NEVER).then_some(self.deadline_ns)
    }

    /// The deadline has come.
    pub fn expire(&mut self, platform: &mut dyn Platform) {
        // The answer has the next one, and a device that is lost has none.
        self.deadline_ns = NEVER;
        if self.health == Health::Up {
            self.ask(Ask::Look.words(), 0, platform);
        }
    }

    /// The device has something to tell, or its process has ended or begun.
    pub fn look(&mut self, platform: &mut dyn Platform) {
        if self.health == Health::Bad {
            // Whoever rings may be a new process: one more try is worth the time that it may take.
            self.health = Health::Gone;
        }
        self.ask(Ask::Look.words(), 0, platform);
    }

    /// Sends a request. Returns the answer.
    #[inline(always)]
    fn send(&mut self, ask: [u64; 3], now_ns: u64) -> Result<Words, Silence> {
        self.way.call(request::words(ask, self.session, now_ns))
    }

    /// Has the device do something. Returns the value it gave; `None` if it is lost.
    #[inline(always)]
    fn ask(&mut self, ask: [u64; 3], mask: u64, platform: &mut dyn Platform) -> Option<u64> {
        if self.health == Health::Up {
            match self.attempt(ask, mask, platform) {
                Ok(value) => return Some(value),
                // It is asked once more below, since where one has ended its successor may be there already.
                Err(loss) => self.lose(loss, platform),
            }
        }
        self.ask_anew(ask, mask, platform)
    }

    /// One call of a process that is up.
    #[inline(always)]
    fn attempt(&mut self, ask: [u64; 3], mask: u64, platform: &mut dyn Platform) -> Result<u64, Loss> {
        let now_ns = platform.now_ns();
        let words = self.send(ask, now_ns).map_err(Loss::Silent)?;
        match Reply::read(&words, mask) {
            Some(Reply::Done(answer)) => self.take(&answer, now_ns, platform).ok_or(Loss::Nonsense),
            Some(Reply::Stranger) => Err(Loss::Replaced),
            None => Err(Loss::Nonsense),
        }
    }

    /// Does what an answer says, if it may.
    #[inline(always)]
    fn take(&mut self, answer: &Answer, now_ns: u64, platform: &mut dyn Platform) -> Option<u64> {
        // What was not claimed at the start can't be had later: the board was made by the claims.
        if answer.deadline_ns != NEVER && !self.claims.is_timed {
            return None;
        }
        if !answer.lines.is_empty() {
            self.drive(answer, platform)?;
        }
        self.deadline_ns = answer.deadline_ns.max(now_ns.saturating_add(SOONEST_NS));
        self.counts.calls += 1;
        Some(answer.value)
    }

    /// Drives the device's own lines, and no others.
    #[cold]
    fn drive(&mut self, answer: &Answer, platform: &mut dyn Platform) -> Option<()> {
        // All of them before the first is driven, so that nonsense changes nothing.
        if !answer.lines.iter().all(|(line, _)| self.claims.lines.contains(&line)) {
            return None;
        }
        for (line, level) in answer.lines.iter() {
            platform.set_line(line, level);
            let bit = 1 << line;
            self.high = if level { self.high | bit } else { self.high & !bit };
        }
        Some(())
    }

    /// The process that was up is no more, or not to be believed.
    #[cold]
    fn lose(&mut self, loss: Loss, platform: &mut dyn Platform) {
        // A line that stays high without a device would interrupt the guest without end.
        let high = core::mem::take(&mut self.high);
        for line in (0..u128::BITS as u8).filter(|line| high >> line & 1 != 0) {
            platform.set_line(line, false);
        }
        self.deadline_ns = NEVER;
        self.record_loss(loss);
    }

    /// Counts a loss, and logs it.
    fn record_loss(&mut self, loss: Loss) {
        let what = match loss {
            Loss::Silent(Silence::Ended) | Loss::Replaced => {
                self.counts.ended += 1;
                "its process has ended"
            }
            Loss::Silent(Silence::Late) => {
                self.counts.late += 1;
                "its process does not answer in time"
            }
            Loss::Nonsense => {
                self.counts.nonsense += 1;
                "its process talks nonsense"
            }
        };
        log::warn!("device {} is absent: {what}", self.name);
        // Of a process that has a successor nobody is told: nobody would ring for a device that is bad.
        let is_over =
            matches!(loss, Loss::Silent(Silence::Ended) | Loss::Replaced) || self.way.life() != self.life;
        self.health = if is_over { Health::Gone } else { Health::Bad };
        // A process that has ended needs nobody to end it, and its successor must not be ended in its place.
        if !is_over {
            self.way.complain(self.life);
        }
    }

    /// For a device that is not up: perhaps it is back.
    #[cold]
    fn ask_anew(&mut self, ask: [u64; 3], mask: u64, platform: &mut dyn Platform) -> Option<u64> {
        let value =
            if self.health == Health::Gone { self.ask_new_process(ask, mask, platform) } else { None };
        if value.is_none() && ask != Ask::Look.words() {
            self.counts.absent += 1;
        }
        value
    }

    fn ask_new_process(&mut self, ask: [u64; 3], mask: u64, platform: &mut dyn Platform) -> Option<u64> {
        match self.greet(platform.now_ns()) {
            Ok(()) => {}
            // Nobody has taken its place yet. It was counted when it was lost, not at each access since.
            Err(Loss::Silent(Silence::Ended)) => return None,
            Err(loss) => {
                self.record_loss(loss);
                return None;
            }
        }
        self.health = Health::Up;
        log::info!("device {} is back", self.name);
        match self.attempt(ask, mask, platform) {
            Ok(value) => Some(value),
            Err(loss) => {
                self.lose(loss, platform);
                None
            }
        }
    }

    /// Begins a session.
    fn greet(&mut self, now_ns: u64) -> Result<(), Loss> {
        // 0 is what no session has.
        self.session = self.session.wrapping_add(1).max(1);
        self.life = self.way.life();
        let words = self.send(Ask::Greet { version: VERSION }.words(), now_ns).map_err(Loss::Silent)?;
        match Reply::read(&words, u64::MAX) {
            Some(Reply::Done(answer))
                // A process that was just greeted has done nothing yet: neither lines nor a deadline.
                if (answer.value, answer.deadline_ns, answer.lines.is_empty()) == (VERSION, NEVER, true) =>
            {
                // Where there were two processes meanwhile, either may have answered, and a complaint has to
                // say which.
                if self.way.life() == self.life { Ok(()) } else { Err(Loss::Replaced) }
            }
            _ => Err(Loss::Nonsense),
        }
    }
}
