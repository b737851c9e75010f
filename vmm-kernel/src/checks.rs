//! What a kernel for tests looks after while it runs (`--features vmm-kernel/checks`): how deep its stacks
//! are, what the processors' TLBs may still hold, what page tables begin with, and that user memory is out of
//! reach. Without the feature [`ON`] is false, and callers leave nothing behind.

pub mod access;
pub mod stacks;
pub mod tables;
pub mod tlb;

/// Whether this is a kernel for tests.
pub const ON: bool = cfg!(all(feature = "checks", target_os = "none"));
