//! Children: processes of this same program, in another role.

use alloc::format;
use alloc::string::String;

use runtime::abi::operation::{Handle, ProcessState, ProcessWatch, Rights};
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::{call, process};

use crate::suite::Suite;

/// How long a child may take, in microseconds: emulation is slow.
const LIMIT_US: u64 = 200_000_000;

/// A child under construction, running, or ended.
pub struct Child {
    /// Its process.
    pub handle: Handle,
    event: Event,
    page: String,
}

impl Child {
    /// Creates a child with a role.
    pub fn new(suite: &Suite<'_>, role: &str) -> Result<Self, Status> {
        let file = process::open(suite.files, "abi-test")?;
        let handle = process::create(file);
        process::close(file)?;
        let handle = handle?;
        let event = Event::try_new()?;
        call(handle, ProcessWatch { event: event.0, reserved: 0 })?;
        Ok(Self { handle, event, page: format!("set role {role}\n") })
    }

    /// Tells it something.
    pub fn set(mut self, name: &str, value: impl core::fmt::Display) -> Self {
        self.page += &format!("set {name} {value}\n");
        self
    }

    /// Gives it a handle.
    pub fn grant(mut self, name: &str, source: Handle, rights: Rights) -> Result<Self, Status> {
        let handle = process::grant(self.handle, source, rights)?;
        self.page += &format!("handle {name} {handle}\n");
        Ok(self)
    }

    /// Starts it.
    pub fn start(self, cpu: u32, priority: u32) -> Result<Self, Status> {
        process::start(self.handle, self.page.as_bytes(), cpu, priority)?;
        Ok(self)
    }

    /// Waits for its end. Returns what became of it.
    pub fn ended(&self, suite: &Suite<'_>) -> Result<ProcessState, Status> {
        // A part that goes on for as long as it is told takes that besides.
        let seconds = number(suite.start, crate::fire::SETTING);
        let deadline = suite.in_us(LIMIT_US + seconds * 1_000_000);
        self.event.wait_until(deadline)?;
        call(self.handle, ProcessState::default())
    }

    /// Waits for its end and lets it go. Returns what became of it.
    pub fn join(self, suite: &Suite<'_>) -> Result<ProcessState, Status> {
        let state = self.ended(suite)?;
        self.forget()?;
        Ok(state)
    }

    /// Closes its handles.
    pub fn forget(self) -> Result<(), Status> {
        process::close(self.handle)?;
        process::close(self.event.0)
    }
}

/// Runs a child that needs no more than its role and one setting; returns its state.
pub fn run(suite: &Suite<'_>, role: &str, setting: (&str, u64)) -> Result<ProcessState, Status> {
    Child::new(suite, role)?.set(setting.0, setting.1).start(0, 1)?.join(suite)
}

/// A number that the child was told.
pub fn number(start: &runtime::Start, name: &str) -> u64 {
    start.setting(name).and_then(|v| v.parse().ok()).unwrap_or(0)
}
