//! What the client asks for.

use core::fmt;

use crate::REQUEST_MAX;
use crate::text::Value;

/// A request: a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Who is there. The answer is the line `hello`, the number given, and the protocol's version: by the
    /// number a client knows it from what is left of an answer to somebody else.
    Hello(u64),
    /// The machine: a [`Machine`](crate::Machine).
    Machine,
    /// The processes: a [`Process`](crate::Process) each.
    Processes,
    /// The log from a byte on: a [`LogPart`](crate::LogPart).
    Log(u64),
    /// What the guest exits for: an [`Exits`](crate::Exits) for each vCPU, reason and place.
    Exits,
    /// Single exits, from a number on: a [`Traced`](crate::Traced) each.
    Trace(u64),
}

/// Why a line is no request, or why it could not be answered; what follows the word `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// It is longer than [`REQUEST_MAX`].
    TooLong,
    /// No such request.
    Unknown,
    /// What should be a number is none.
    Number,
    /// The image has no such view, or gives no right to it.
    Absent,
    /// The kernel refused.
    Refused,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::TooLong, Self::Unknown, Self::Number, Self::Absent, Self::Refused];
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "too-long",
            Self::Unknown => "unknown",
            Self::Number => "number",
            Self::Absent => "absent",
            Self::Refused => "refused",
        })
    }
}

impl Request {
    /// Reads a line, without its end.
    ///
    /// # Errors
    /// When it is no request.
    pub fn parse(line: &[u8]) -> Result<Self, Mistake> {
        if line.len() > REQUEST_MAX {
            return Err(Mistake::TooLong);
        }
        // Whoever is at the other end of the line may send any bytes.
        let line = core::str::from_utf8(line).map_err(|_| Mistake::Unknown)?;
        let number = |text: &str| u64::parse(text).ok_or(Mistake::Number);
        match line.split_once(' ') {
            Some(("hello", nonce)) => number(nonce).map(Self::Hello),
            Some(("log", from)) => number(from).map(Self::Log),
            Some(("trace", from)) => number(from).map(Self::Trace),
            None if line == "machine" => Ok(Self::Machine),
            None if line == "processes" => Ok(Self::Processes),
            None if line == "exits" => Ok(Self::Exits),
            _ => Err(Mistake::Unknown),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(nonce) => write!(f, "hello {nonce}"),
            Self::Machine => f.write_str("machine"),
            Self::Processes => f.write_str("processes"),
            Self::Log(from) => write!(f, "log {from}"),
            Self::Exits => f.write_str("exits"),
            Self::Trace(from) => write!(f, "trace {from}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn requests_are_read_as_they_are_written() {
        for request in [
            Request::Hello(u64::MAX),
            Request::Machine,
            Request::Processes,
            Request::Log(0),
            Request::Exits,
            Request::Trace(12),
        ] {
            let line = request.to_string();
            assert!(line.len() <= REQUEST_MAX);
            assert_eq!(Request::parse(line.as_bytes()), Ok(request));
        }
    }

    #[test]
    fn what_is_no_request_is_a_mistake() {
        for (line, mistake) in [
            (&b""[..], Mistake::Unknown),
            (b" ", Mistake::Unknown),
            (b"machine ", Mistake::Unknown),
            (b"machine 1", Mistake::Unknown),
            (b"Machine", Mistake::Unknown),
            (b"log", Mistake::Unknown),
            (b"log ", Mistake::Number),
            (b"log -1", Mistake::Number),
            (b"log 1 2", Mistake::Number),
            (b"hello 18446744073709551616", Mistake::Number),
            (b"exits\r", Mistake::Unknown),
            (b"\xff\xfe", Mistake::Unknown),
            (&[b'1'; REQUEST_MAX], Mistake::Unknown),
            (&[b'1'; REQUEST_MAX + 1], Mistake::TooLong),
        ] {
            assert_eq!(Request::parse(line), Err(mistake), "{line:?}");
        }
    }
}
