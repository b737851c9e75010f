//! Handles on their way in a message: what they name is kept while nobody has a handle for it.

use vcpu_abi::message::MESSAGE_HANDLES;
use vcpu_abi::operation::{Handle, Rights};
use vcpu_abi::status::Status;

use super::handle::{Entry, HandleTable};
use super::process::Process;
use crate::object::pool::Ref;

/// Whether a message has handles.
#[inline(always)]
pub fn has_handles(handles: &[Handle; MESSAGE_HANDLES]) -> bool {
    *handles != [0; MESSAGE_HANDLES]
}

/// What was passed, by its place in the message.
pub struct Passed {
    entries: [Option<Entry>; MESSAGE_HANDLES],
}

impl Passed {
    /// Nothing.
    pub const fn new() -> Self {
        Self { entries: [const { None }; MESSAGE_HANDLES] }
    }

    /// What a process passes by these handles of its own: all of them, or none. `None`: the message has no
    /// handles.
    #[cold]
    pub fn of(process: &Ref<Process>, handles: &[Handle; MESSAGE_HANDLES]) -> Result<Option<Self>, Status> {
        Self::collect(handles, |handle| Process::to_give(process, handle, Rights::empty()))
    }

    /// The same, where `to_give` finds what a handle names, if it may be passed.
    pub fn collect(
        handles: &[Handle; MESSAGE_HANDLES],
        to_give: impl Fn(Handle) -> Result<Entry, Status>,
    ) -> Result<Option<Self>, Status> {
        if !has_handles(handles) {
            return Ok(None);
        }
        let mut passed = Self::new();
        for (place, handle) in passed.entries.iter_mut().zip(handles).filter(|(_, handle)| **handle != 0) {
            // One that may not be given refuses all: what was found before it is dropped here.
            *place = Some(to_give(*handle)?);
        }
        Ok(Some(passed))
    }

    /// Gives all of it to a table, and returns the handles there. Without room for all, none is given: they
    /// stay here, to be dropped outside of the table's lock.
    #[cold]
    pub fn give(&mut self, table: &mut HandleTable) -> Result<[Handle; MESSAGE_HANDLES], Status> {
        let mut handles = [0; MESSAGE_HANDLES];
        // All or none: a message of which a handle is missing is another message.
        if table.free() < self.entries.iter().flatten().count() {
            return Err(Status::OutOfHandles);
        }
        for (handle, entry) in handles.iter_mut().zip(&mut self.entries) {
            let Some(entry) = entry.take() else { continue };
            // There is room: it was asked under the lock that is still held.
            if let Ok(given) = table.insert_object(entry.object, entry.rights) {
                *handle = given;
            }
        }
        Ok(handles)
    }
}

#[cfg(test)]
mod tests;
