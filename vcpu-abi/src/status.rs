//! What a call returns. A short, stable list; each code says whose fault it is.

/// The outcome of a call or of one operation. Negative codes are the caller's fault, codes from 64 up say
/// that Plinth has run out of something or that the thing is in the wrong state; neither changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// Caller: no such system call or operation, or one that does not fit the object.
    BadOperation = -1,
    /// Caller: the handle names nothing, or a thing of another kind.
    BadHandle = -2,
    /// Caller: the handle lacks the right.
    NoRight = -3,
    /// Caller: an argument is out of its documented range or misaligned, or a reserved field is not zero.
    BadArgument = -4,
    /// Caller: a pointer does not lie in memory the process may use that way.
    BadPointer = -5,
    /// Caller: the range overlaps something mapped already.
    Overlap = -6,
    /// Caller: nothing by that name, index or range.
    NotFound = -7,
    /// State: something that all processes share, or a fixed number of places, is used up.
    Exhausted = 64,
    /// State: the object is in use, not yet started, or already ended.
    WrongState = 65,
    /// State: a deadline passed before what was waited for.
    TimedOut = 66,
    /// State: nobody serves the channel any more: its server has ended, or let go of the call.
    Disconnected = 67,
    /// State: the process's budget of memory, or that of one that made it, is used up.
    OutOfMemory = 68,
    /// State: the process's handle table is full, or as full as it may be.
    OutOfHandles = 69,
    /// State: the budget of threads is used up.
    OutOfThreads = 70,
    /// State: the budget of events is used up.
    OutOfEvents = 71,
    /// State: the budget of processes is used up.
    OutOfProcesses = 72,
    /// State: the budget of endpoints, channels, shared memory, virtual machines and processors is used up.
    OutOfObjects = 73,
    /// Host: what the host answered is not acceptable.
    HostFault = 96,
}

impl Status {
    /// The status with this code, if there is one.
    pub const fn from_code(code: i32) -> Option<Self> {
        // Not a cast: the number comes from a register, or from a page that another process may write, and
        // need not be one of these.
        Some(match code {
            0 => Self::Ok,
            -1 => Self::BadOperation,
            -2 => Self::BadHandle,
            -3 => Self::NoRight,
            -4 => Self::BadArgument,
            -5 => Self::BadPointer,
            -6 => Self::Overlap,
            -7 => Self::NotFound,
            64 => Self::Exhausted,
            65 => Self::WrongState,
            66 => Self::TimedOut,
            67 => Self::Disconnected,
            68 => Self::OutOfMemory,
            69 => Self::OutOfHandles,
            70 => Self::OutOfThreads,
            71 => Self::OutOfEvents,
            72 => Self::OutOfProcesses,
            73 => Self::OutOfObjects,
            96 => Self::HostFault,
            _ => return None,
        })
    }

    /// `Ok(())` for [`Status::Ok`], the status as an error otherwise.
    pub const fn into_result(self) -> Result<(), Self> {
        match self {
            Self::Ok => Ok(()),
            other => Err(other),
        }
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Ok => "done",
            Self::BadOperation => "no such operation on this object",
            Self::BadHandle => "no such handle, or one of another kind",
            Self::NoRight => "the handle lacks the right",
            Self::BadArgument => "an argument is out of range",
            Self::BadPointer => "a pointer leaves the process's memory",
            Self::Overlap => "the range is in use",
            Self::NotFound => "not found",
            Self::Exhausted => "no more are left",
            Self::OutOfMemory => "the budget of memory is used up",
            Self::OutOfHandles => "the budget of handles is used up",
            Self::OutOfThreads => "the budget of threads is used up",
            Self::OutOfEvents => "the budget of events is used up",
            Self::OutOfProcesses => "the budget of processes is used up",
            Self::OutOfObjects => "the budget of objects is used up",
            Self::WrongState => "the object is in the wrong state",
            Self::TimedOut => "the deadline passed",
            Self::Disconnected => "nobody serves the channel",
            Self::HostFault => "the host answered something unacceptable",
        })
    }
}
