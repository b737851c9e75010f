//! Big-endian fields of commands, responses and of the saved state.

use alloc::vec::Vec;

use zeroize::Zeroize;

use crate::rc::{Rc, Result};

/// Reads fields from the front of a slice. What is missing is `TPM_RC_INSUFFICIENT`.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        // Nothing is taken if it is not all there.
        let (front, rest) = self.rest.split_at_checked(count).ok_or(Rc::INSUFFICIENT)?;
        self.rest = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (front, rest) = self.rest.split_first_chunk().ok_or(Rc::INSUFFICIENT)?;
        self.rest = rest;
        Ok(*front)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// TPMI_YES_NO.
    pub(crate) fn yes_no(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Rc::VALUE),
        }
    }

    /// A TPM2B with at most `limit` bytes.
    pub(crate) fn sized(&mut self, limit: usize) -> Result<&'a [u8]> {
        let size = usize::from(self.u16()?);
        // Before the bytes are looked for: what is too long has another code than what is missing.
        if size > limit {
            return Err(Rc::SIZE);
        }
        self.take(size)
    }

    /// The same, copied.
    pub(crate) fn bytes(&mut self, limit: usize) -> Result<Vec<u8>> {
        Ok(self.sized(limit)?.to_vec())
    }

    /// A TPM2B around a structure, which must fill it.
    pub(crate) fn inside<T>(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Result<T>) -> Result<T> {
        let mut inner = Reader::new(self.sized(usize::from(u16::MAX))?);
        // An empty one is a structure that is absent, which no parameter that is read here may be.
        if inner.is_empty() {
            return Err(Rc::SIZE);
        }
        let value = read(&mut inner)?;
        if inner.is_empty() { Ok(value) } else { Err(Rc::SIZE) }
    }
}

/// Appends fields. Its bytes are wiped when it goes.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl Writer {
    pub(crate) fn new() -> Self {
        // Room from the start: a vector that grows leaves its former bytes behind, and nobody wipes those.
        Writer { bytes: Vec::with_capacity(256) }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_vec(mut self) -> Vec<u8> {
        core::mem::take(&mut self.bytes)
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn yes_no(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// A TPM2B. Nothing here is longer than its size field can say; more would be cut.
    pub(crate) fn sized(&mut self, bytes: &[u8]) -> &mut Self {
        let size = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(size).raw(bytes.get(..usize::from(size)).unwrap_or_default())
    }

    /// A TPM2B around what `write` appends.
    pub(crate) fn inside(&mut self, write: impl FnOnce(&mut Writer)) -> &mut Self {
        let mut inner = Writer::new();
        write(&mut inner);
        self.sized(inner.as_slice())
    }

    /// A TPML: a count of 32 bits and the elements.
    pub(crate) fn list<T>(&mut self, all: &[T], write: impl Fn(&mut Writer, &T)) -> &mut Self {
        self.u32(u32::try_from(all.len()).unwrap_or(u32::MAX));
        for one in all {
            write(self, one);
        }
        self
    }
}
