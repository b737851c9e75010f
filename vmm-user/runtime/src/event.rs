//! Events.

use vcpu_abi::operation::{EventCreate, EventSignal, EventWait, HANDLE_SELF, Handle};
use vcpu_abi::status::Status;

use crate::syscall::call;

/// An event of this process's.
#[derive(Clone, Copy, Debug)]
pub struct Event(pub Handle);

impl Event {
    /// A new one.
    pub fn try_new() -> Result<Self, Status> {
        call(HANDLE_SELF, EventCreate::default()).map(|c| Self(c.handle))
    }

    /// Waits for the signal and takes it.
    pub fn wait(self) -> Result<(), Status> {
        self.wait_until(u64::MAX)
    }

    /// Waits until a TSC value at most.
    pub fn wait_until(self, deadline_tsc: u64) -> Result<(), Status> {
        call(self.0, EventWait { deadline_tsc }).map(|_| ())
    }

    /// Signals it.
    pub fn signal(self) -> Result<(), Status> {
        call(self.0, EventSignal::default()).map(|_| ())
    }
}
