//! Bytes that nobody may see: wiped when they go, compared in constant time, never printed.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Secret bytes.
#[derive(Clone, Default)]
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    pub(crate) fn copy(bytes: &[u8]) -> Self {
        Secret(bytes.to_vec())
    }

    /// The concatenation of some bytes.
    pub(crate) fn joined(parts: &[&[u8]]) -> Self {
        Secret(parts.concat())
    }

    /// An authorization value: without trailing zeros, which don't count (part 1, 19.6.4.3).
    pub(crate) fn auth(bytes: &[u8]) -> Self {
        // Zeros at the end don't count: callers may have padded the value.
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Secret::copy(bytes.get(..end).unwrap_or_default())
    }

    /// Whether it is these bytes; the time does not depend on where they differ.
    pub(crate) fn is(&self, other: &[u8]) -> bool {
        same(&self.0, other)
    }
}

/// Compares in constant time what may be compared with a secret.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    // In constant time: an early end would tell how much was right.
    one.ct_eq(other).into()
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Secret(bytes)
    }
}

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the bytes: what is printed may end up in a log.
        write!(f, "Secret({} bytes)", self.0.len())
    }
}
