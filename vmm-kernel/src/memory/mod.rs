//! Memory: the host's map, page frames, the kernel's and the processes' page tables, and the ways to touch a
//! frame.
//!
//! There is no direct map. A frame is reached through a [`temporary`] mapping of this processor, for the time
//! of one closure; the kernel's own tables through the [`self_map`].

pub mod bitmap;
pub mod edit;
pub mod entry;
pub mod frames;
pub mod graves;
pub mod guest_memory;
pub mod host_map;
pub mod loaded;
pub mod narrowing;
pub mod payer;
pub mod probe;
pub mod self_map;
pub mod shared;
pub mod shootdown;
pub mod space;
pub mod tables;
pub mod temporary;
pub mod user_copy;
pub mod words;

/// Why memory could not be had or mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// Plinth's budget of page frames is used up.
    NoFrames,
    /// The process's is.
    OverBudget,
    /// Something is mapped there already.
    Occupied,
    /// Something is not mapped that has to be.
    NotMapped,
    /// The range is not page-aligned, wraps, or lies outside what may be mapped so.
    BadRange,
}

impl From<MemoryError> for vcpu_abi::status::Status {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::NoFrames => Self::Exhausted,
            MemoryError::OverBudget => Self::OutOfMemory,
            MemoryError::Occupied => Self::Overlap,
            MemoryError::NotMapped => Self::NotFound,
            MemoryError::BadRange => Self::BadArgument,
        }
    }
}
