//! What a system call returns: a status and a second value.

use vcpu_abi::status::Status;

/// RAX and RDX.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The status.
    pub status: i64,
    index: u64,
}

impl Answer {
    /// A status, and how many operations were done or which one failed.
    pub fn new(status: Status, index: usize) -> Self {
        Self { status: status as i64, index: index as u64 }
    }
}
