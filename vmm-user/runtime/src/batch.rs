//! A batch under construction: operations collected for one system call.

use vcpu_abi::operation::{BATCH_MAX, Operation};
use vcpu_abi::status::Status;

use crate::syscall;

/// Collects operations.
pub struct Batch {
    operations: [Operation; BATCH_MAX],
    count: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// None yet.
    pub const fn new() -> Self {
        const EMPTY: Operation = Operation { code: 0, flags: 0, handle: 0, status: 0, payload: [0; 48] };
        Self { operations: [EMPTY; BATCH_MAX], count: 0 }
    }

    /// Adds one; `false` when the batch is full.
    #[must_use]
    pub fn push(&mut self, operation: Operation) -> bool {
        match self.operations.get_mut(self.count) {
            Some(place) => {
                *place = operation;
                self.count += 1;
                true
            }
            None => false,
        }
    }

    /// The operations.
    pub fn operations(&self) -> &[Operation] {
        self.operations.get(..self.count).unwrap_or(&[])
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// Executes them in one call and forgets them. Nothing to do is done.
    pub fn submit(&mut self) -> Result<(), (Status, usize)> {
        // Forgotten whatever comes of them: submitted once more, those that succeeded would be done twice.
        let count = core::mem::take(&mut self.count);
        match self.operations.get_mut(..count) {
            Some(operations) if count > 0 => syscall::batch(operations),
            _ => Ok(()),
        }
    }
}
