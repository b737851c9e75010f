//! How a guest ends, and what that is to whoever has started the machine.

use core::fmt;

use runtime::abi::exit::reason;
use runtime::abi::operation::end_reason;
use runtime::abi::status::Status;

/// The set of reasons of the test guest, and its reason for an end with all as it should be.
const TESTS_PASSED: (u8, u8) = (15, 0);

/// What Plinth's kernel for SEV-SNP says in that set of its machine's end (docs/snp.md, "The backend").
const ENDS: [(u8, u32); 3] =
    [(0x10, end_reason::POWER_OFF), (0x11, end_reason::RESET), (0x12, end_reason::TRIPLE_FAULT)];

/// How the guest's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest asked for it.
    Terminated {
        /// The set of reasons.
        set: u8,
        /// The reason.
        reason: u8,
    },
    /// A triple fault.
    Shutdown,
    /// HLT, and nothing would ever wake it.
    Halted,
    /// The guest switched its machine off.
    PoweredOff,
    /// The guest reset its machine.
    Reset,
    /// The host does not go on after such an access, at this guest physical address.
    Access(u64),
    /// The host has no reply to this word in the GHCB MSR.
    Word(u64),
    /// #VC with this error code can't be delivered.
    NotDelivered(u64),
    /// An exit that is not modelled: its reason, and the platform's number.
    NotModelled(u32, u64),
    /// The kernel's refusal.
    Kernel(Status),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminated { set, reason } => {
                write!(f, "the guest asks to be ended: set {set}, reason {reason}")
            }
            Self::Shutdown => write!(f, "the guest has shut down"),
            Self::Halted => write!(f, "the guest halts for ever"),
            Self::PoweredOff => write!(f, "the guest has switched its machine off"),
            Self::Reset => write!(f, "the guest has reset its machine"),
            Self::Access(gpa) => write!(f, "the host ends the guest for its access at {gpa:#x}"),
            Self::Word(word) => write!(f, "the host has no reply to {word:#x} in the GHCB MSR"),
            Self::NotDelivered(code) => write!(f, "#VC {code:#x} can't be delivered"),
            Self::NotModelled(reason, code) => {
                let name = reason::NAMES.get(*reason as usize).unwrap_or(&"?");
                write!(f, "an exit that is not modelled: {name}, {code:#x}")
            }
            Self::Kernel(status) => write!(f, "the vCPU can't be run: {status}"),
        }
    }
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Kernel(status)
    }
}

/// What the guest goes on with, or how it ended.
pub(crate) type Next = Result<(), End>;

impl End {
    /// What it is to whoever has started the machine: an `end_reason`.
    pub fn of_machine(&self) -> u32 {
        match self {
            Self::Terminated { set, reason } if (*set, *reason) == TESTS_PASSED => end_reason::TESTS_PASSED,
            Self::Terminated { set, reason } if *set == TESTS_PASSED.0 => {
                let known = ENDS.iter().find(|(number, _)| number == reason);
                known.map_or(end_reason::TESTS_FAILED, |(_, end)| *end)
            }
            Self::PoweredOff => end_reason::POWER_OFF,
            Self::Reset => end_reason::RESET,
            _ => end_reason::TESTS_FAILED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_request_to_be_ended_is_a_good_end() {
        for (end, expected) in [
            (End::Terminated { set: 15, reason: 0 }, end_reason::TESTS_PASSED),
            (End::Terminated { set: 15, reason: 1 }, end_reason::TESTS_FAILED),
            (End::Terminated { set: 0, reason: 0 }, end_reason::TESTS_FAILED),
            (End::Terminated { set: 15, reason: 0x10 }, end_reason::POWER_OFF),
            (End::Terminated { set: 15, reason: 0x11 }, end_reason::RESET),
            (End::Terminated { set: 15, reason: 0x12 }, end_reason::TRIPLE_FAULT),
            (End::Terminated { set: 15, reason: 0x14 }, end_reason::TESTS_FAILED),
            (End::Terminated { set: 1, reason: 0x10 }, end_reason::TESTS_FAILED),
            (End::PoweredOff, end_reason::POWER_OFF),
            (End::Reset, end_reason::RESET),
            (End::Halted, end_reason::TESTS_FAILED),
        ] {
            assert_eq!(end.of_machine(), expected, "{end}");
        }
    }
}
