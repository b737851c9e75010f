//! Asynchronous events (NVM Express 1.4, 5.2). The only ones are errors at the doorbells, which no command
//! could be told of.

use alloc::vec::Vec;

use crate::spec::Status;

/// The most requests that are kept.
pub const REQUESTS_MAX: usize = 4;

/// What may go wrong at a doorbell: the event's information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorbellError {
    /// There is no such queue.
    NoQueue = 0,
    /// The value is none.
    Value = 1,
}

/// Requests for events, and events that nobody has asked for yet.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// Identifiers of the commands.
    requests: Vec<u16>,
    /// Requests that were aborted, and not told yet.
    aborted: Vec<u16>,
    /// Events that wait, by their information.
    waiting: u8,
    /// One was told: the next is when the driver has read the error log.
    is_masked: bool,
}

impl Events {
    /// Keeps a request; false if there are as many as there may be.
    pub fn keep(&mut self, id: u16) -> bool {
        let has_room = self.requests.len() < REQUESTS_MAX;
        if has_room {
            self.requests.push(id);
        }
        has_room
    }

    /// Aborts a request; false if there is no such one.
    pub fn abort(&mut self, id: u16) -> bool {
        let at = self.requests.iter().position(|kept| *kept == id);
        let request = at.map(|at| self.requests.remove(at));
        self.aborted.extend(request);
        request.is_some()
    }

    /// Something went wrong at a doorbell.
    pub fn raise(&mut self, error: DoorbellError) {
        self.waiting |= 1 << error as u8;
    }

    /// The driver has read the error log.
    pub fn unmask(&mut self) {
        self.is_masked = false;
    }

    /// Whether there is something to tell, and a request to tell it by.
    pub fn has_next(&self) -> bool {
        !self.aborted.is_empty() || self.waiting != 0 && !self.is_masked && !self.requests.is_empty()
    }

    /// A request that ends, and how: aborted, or by an event: type 0, error; information; log page 1.
    pub fn take(&mut self) -> Option<(u16, Result<u32, Status>)> {
        if let Some(id) = self.aborted.pop() {
            return Some((id, Err(Status::ABORTED)));
        }
        if !self.has_next() {
            return None;
        }
        let information = self.waiting.trailing_zeros();
        self.waiting &= !(1 << information);
        self.is_masked = true;
        Some((self.requests.remove(0), Ok(information << 8 | 1 << 16)))
    }
}
