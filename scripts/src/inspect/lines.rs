//! Lines that come over a socket, none longer than they may be, and none waited for without end.

use std::io::{self, Read};
use std::time::Instant;

use inspect_protocol::ANSWER_MAX;

/// What was received and not yet taken.
#[derive(Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
}

/// What came of waiting for a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A line, without its end. What is no text in it is replaced.
    Line(String),
    /// None until the deadline.
    Late,
    /// The other side has closed.
    Closed,
    /// One that is longer than any may be.
    TooLong,
}

impl Lines {
    /// Waits for a line. Reads from `from` must come back now and then.
    ///
    /// # Errors
    /// Those of `from`, but for its own limits of time.
    pub fn next(&mut self, from: &mut impl Read, deadline: Instant) -> io::Result<Received> {
        loop {
            // What is there already comes first, whatever the time.
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).take(end).collect();
                return Ok(Received::Line(String::from_utf8_lossy(&line).into_owned()));
            }
            // Looked at before more is read: what a machine sends may never have an end of line.
            if self.bytes.len() > ANSWER_MAX {
                return Ok(Received::TooLong);
            }
            if Instant::now() >= deadline {
                return Ok(Received::Late);
            }
            let mut part = [0; 4096];
            match from.read(&mut part) {
                Ok(0) => return Ok(Received::Closed),
                Ok(count) => self.bytes.extend(part.iter().take(count)),
                // The deadline is looked at, and then waited again.
                Err(error) if is_wait(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Gives a part at each read.
    struct Parts<'a>(Vec<Option<&'a [u8]>>);

    impl Read for Parts<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            match if self.0.is_empty() { None } else { Some(self.0.remove(0)) } {
                None => Ok(0),
                Some(None) => Err(io::ErrorKind::WouldBlock.into()),
                Some(Some(part)) => {
                    to[..part.len()].copy_from_slice(part);
                    Ok(part.len())
                }
            }
        }
    }

    #[test]
    fn lines_come_whole() {
        let (mut lines, soon) = (Lines::default(), Instant::now() + Duration::from_secs(60));
        let mut from = Parts(vec![Some(b"on"), None, Some(b"e\ntwo\n\nth"), Some(b"\xff\nfour")]);
        let mut next = || lines.next(&mut from, soon).unwrap();
        for line in ["one", "two", "", "th\u{fffd}"] {
            assert_eq!(next(), Received::Line(line.into()));
        }
        assert_eq!(next(), Received::Closed);
    }

    #[test]
    fn none_is_too_long_or_waited_for_without_end() {
        let soon = Instant::now() + Duration::from_secs(60);
        let long = [b'x'; 4096];
        let mut from = Parts(vec![Some(&long[..]); 100]);
        assert_eq!(Lines::default().next(&mut from, soon).unwrap(), Received::TooLong);
        let mut silent = Parts(vec![None; 1000]);
        assert_eq!(Lines::default().next(&mut silent, Instant::now()).unwrap(), Received::Late);
    }
}
