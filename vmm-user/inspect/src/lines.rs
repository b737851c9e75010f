//! Bytes become lines, whatever bytes come.

use alloc::vec::Vec;

use inspect_protocol::REQUEST_MAX;

/// A line that has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Its bytes, without the end.
    Whole(Vec<u8>),
    /// It was longer than a request can be, and was not kept.
    TooLong,
}

/// The line that has not ended yet.
pub struct Lines {
    bytes: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// Nothing came yet.
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(REQUEST_MAX), is_too_long: false }
    }

    /// Takes a byte; returns the line that it ends. A carriage return before the end does not count.
    pub fn take(&mut self, byte: u8) -> Option<Line> {
        if byte != b'\n' {
            if self.bytes.len() < REQUEST_MAX {
                self.bytes.push(byte);
            } else {
                // The rest is read up to its end: it must not be taken for a request of its own.
                self.is_too_long = true;
            }
            return None;
        }
        // With room for a whole line at once: no byte of the host's makes the heap grow.
        let mut line = core::mem::replace(&mut self.bytes, Vec::with_capacity(REQUEST_MAX));
        if core::mem::take(&mut self.is_too_long) {
            return Some(Line::TooLong);
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(Line::Whole(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new();
        bytes.iter().filter_map(|byte| lines.take(*byte)).collect()
    }

    #[test]
    fn lines_end() {
        let whole = |text: &str| Line::Whole(text.into());
        assert_eq!(all(b"one\ntwo\r\n\n\r\nthree"), [whole("one"), whole("two"), whole(""), whole("")]);
        assert_eq!(all(b"a\rb\n"), [whole("a\rb")]);
        assert_eq!(all(b"\0\xff\n"), [Line::Whole(b"\0\xff".to_vec())]);
    }

    #[test]
    fn a_line_is_bounded() {
        let mut bytes = [b'x'; 3 * REQUEST_MAX];
        bytes[REQUEST_MAX] = b'\n';
        bytes[3 * REQUEST_MAX - 1] = b'\n';
        assert_eq!(all(&bytes), [Line::Whole(bytes[..REQUEST_MAX].to_vec()), Line::TooLong]);
        let mut lines = Lines::new();
        for _ in 0..1_000_000 {
            assert_eq!(lines.take(b'x'), None);
        }
        assert_eq!(lines.bytes.len(), REQUEST_MAX);
        assert_eq!(lines.take(b'\n'), Some(Line::TooLong));
        assert_eq!(lines.take(b'\n'), Some(Line::Whole(Vec::new())));
    }
}
