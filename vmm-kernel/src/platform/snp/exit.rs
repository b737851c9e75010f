//! Whose an exit is. There are none yet.

/// Whose an exit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The VMM's.
    Vmm,
    /// A host interrupt is pending.
    HostInterrupt,
    /// A host NMI is pending.
    HostNmi,
    /// A machine check.
    MachineCheck,
    /// The state was refused.
    Refused,
}

impl Exit {
    /// The value behind a code that the entry code passes on, which it never does.
    pub fn from_code(_: u32) -> Self {
        Self::Refused
    }
}
