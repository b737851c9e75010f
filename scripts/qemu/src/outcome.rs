//! How a run ended, in one word.

use std::fmt;

/// The end of a run. Plinth ends one by writing a value to QEMU's isa-debug-exit device, which makes QEMU's
/// status `(value << 1) | 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// QEMU ended by itself: by ctrl-a x, by its monitor, or by a guest that runs without Plinth.
    Quit,
    /// The guest powered off.
    PowerOff,
    /// The guest asked for a reset.
    Reboot,
    /// A vCPU triple-faulted.
    TripleFault,
    /// Plinth's kernel stopped.
    KernelPanic,
    /// A process of Plinth's failed.
    ProcessFailure,
    /// A test image's processes are content.
    TestsPassed,
    /// They are not.
    TestsFailed,
    /// The PVH loader refused the image.
    LoaderRefusal,
    /// The time allowed was over; QEMU was killed.
    Timeout,
    /// Another status of QEMU's: 1 is a wrong command line, say.
    Status(i32),
    /// A signal ended QEMU: 6 is an assertion of its own that failed.
    Signal(i32),
}

/// Values written to isa-debug-exit, with what they mean.
const VALUES: [(i32, Outcome); 8] = [
    (0x10, Outcome::PowerOff),
    (0x11, Outcome::Reboot),
    (0x12, Outcome::TripleFault),
    (0x13, Outcome::KernelPanic),
    (0x14, Outcome::ProcessFailure),
    (0x20, Outcome::TestsPassed),
    (0x21, Outcome::TestsFailed),
    (0x31, Outcome::LoaderRefusal),
];

impl Outcome {
    /// The meaning of QEMU's status.
    pub fn of_status(status: i32) -> Self {
        // No value that is written to the device gives 0: the lowest bit is always set.
        if status == 0 {
            return Self::Quit;
        }
        // A status that none of the values gives is QEMU's own, such as 1 for a command line that it does not
        // take.
        let known = VALUES.iter().find(|(value, _)| (value << 1) | 1 == status);
        known.map_or(Self::Status(status), |(_, outcome)| *outcome)
    }

    /// Whether a user calls it a good end.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Quit | Self::PowerOff | Self::TestsPassed)
    }

    /// Whether QEMU itself failed: a crash, or a status that Plinth does not give.
    pub fn is_qemu_failure(self) -> bool {
        matches!(self, Self::Status(_) | Self::Signal(_))
    }

    /// What to tell a user.
    pub fn explanation(self) -> String {
        match self {
            Self::Quit => "QEMU was ended".to_owned(),
            Self::PowerOff => "the guest powered off".to_owned(),
            Self::Reboot => "the guest asked for a reboot".to_owned(),
            Self::TestsPassed => "all tests in the guest passed".to_owned(),
            Self::TripleFault => "the guest triple-faulted; its registers are below".to_owned(),
            Self::KernelPanic => "Plinth's kernel stopped; the end of its log is below".to_owned(),
            Self::ProcessFailure => "a process of Plinth's failed; the end of the log is below".to_owned(),
            Self::LoaderRefusal => "the loader refused the image; it says why below or above".to_owned(),
            Self::TestsFailed => "tests in the guest failed; the end of the log is below".to_owned(),
            Self::Timeout => "no end within the time allowed; the end of the log is below".to_owned(),
            Self::Status(status) => format!("QEMU ended with status {status} and no word from Plinth"),
            Self::Signal(signal) => format!("QEMU was ended by signal {signal}, with no word from Plinth"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Quit => "quit",
            Self::PowerOff => "poweroff",
            Self::Reboot => "reboot",
            Self::TripleFault => "triple-fault",
            Self::KernelPanic => "kernel-panic",
            Self::ProcessFailure => "process-failure",
            Self::TestsPassed => "tests-passed",
            Self::TestsFailed => "tests-failed",
            Self::LoaderRefusal => "loader-refusal",
            Self::Timeout => "timeout",
            Self::Status(status) => return write!(out, "qemu-status-{status}"),
            Self::Signal(signal) => return write!(out, "qemu-signal-{signal}"),
        };
        out.write_str(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        for (status, word) in [
            (0, "quit"),
            (33, "poweroff"),
            (35, "reboot"),
            (37, "triple-fault"),
            (39, "kernel-panic"),
            (41, "process-failure"),
            (65, "tests-passed"),
            (67, "tests-failed"),
            (99, "loader-refusal"),
            (1, "qemu-status-1"),
            (34, "qemu-status-34"),
        ] {
            assert_eq!(Outcome::of_status(status).to_string(), word);
        }
        assert!(Outcome::PowerOff.is_good() && !Outcome::Reboot.is_good());
        assert!(Outcome::Status(1).is_qemu_failure() && !Outcome::Timeout.is_qemu_failure());
    }
}
