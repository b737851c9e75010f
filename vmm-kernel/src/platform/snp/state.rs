//! A vCPU's state by group. There is none yet.

use vcpu_abi::status::Status;

/// Why a vCPU cannot be run with what the VMM wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// An argument is wrong.
    Refused(Status),
    /// The registers are not a state that the processor enters.
    NotEnterable,
}
