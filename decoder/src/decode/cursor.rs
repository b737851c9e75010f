//! Reading bytes one after the other, never beyond 15.

use super::{MAX_LENGTH, Rejection};
use crate::Size;

/// A position in the bytes of an instruction.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: u8,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, position: 0 }
    }

    /// How many bytes have been read, at most 15.
    pub(super) fn position(&self) -> u8 {
        self.position
    }

    /// The next byte, which stays unread.
    #[inline]
    pub(super) fn peek(&self) -> Result<u8, Rejection> {
        // Before the bytes are asked for: the sixteenth is too many even if it was not fetched.
        if self.position >= MAX_LENGTH {
            return Err(Rejection::TooLong);
        }
        self.bytes.get(usize::from(self.position)).copied().ok_or(Rejection::Truncated)
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<u8, Rejection> {
        let byte = self.peek()?;
        self.position += 1;
        Ok(byte)
    }

    /// A little-endian value of at most eight bytes, zero-extended.
    pub(super) fn unsigned(&mut self, size: Size) -> Result<u64, Rejection> {
        let start = usize::from(self.position);
        let length = size.bytes() as usize;
        let value = match self.bytes.get(start..start + length) {
            // By pattern, so that no length is looked at twice.
            Some(&[a]) => a.into(),
            Some(&[a, b]) => u16::from_le_bytes([a, b]).into(),
            Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]).into(),
            Some(&[a, b, c, d, e, f, g, h]) => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            // Fifteen bytes were given and do not hold it: no more bytes would help.
            _ if start + length > usize::from(MAX_LENGTH) && self.bytes.len() >= usize::from(MAX_LENGTH) => {
                return Err(Rejection::TooLong);
            }
            _ => return Err(Rejection::Truncated),
        };
        // More bytes may have been given than an instruction may have.
        if start + length > usize::from(MAX_LENGTH) {
            return Err(Rejection::TooLong);
        }
        self.position += length as u8;
        Ok(value)
    }

    /// A little-endian value of at most eight bytes, sign-extended.
    pub(super) fn signed(&mut self, size: Size) -> Result<u64, Rejection> {
        self.unsigned(size).map(|value| size.sign_extend(value))
    }
}
