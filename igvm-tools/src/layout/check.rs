//! What has to be true of the parts before they are laid out, and what goes wrong while they are.

use vcpu_abi::boot::NAME_BYTES;

use super::{HIGHEST_GPA, LOWEST_GPA, Parts};
use crate::PAGE_BYTES;
use crate::page_table::MapError;
use crate::pages::Claimed;

/// Why the parts do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// An address or size is not whole pages, zero, or out of range.
    #[error("{value:#x} is not a multiple of 4096 between {LOWEST_GPA:#x} and {HIGHEST_GPA:#x}")]
    Place {
        /// The recipe's field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// The payload would lie in the window.
    #[error("the payload at {payload:#x}, {bytes:#x} bytes, overlaps the window {start:#x}..{end:#x}")]
    Overlap {
        /// First byte of the payload.
        payload: u64,
        /// Its length.
        bytes: u64,
        /// First byte of the window.
        start: u64,
        /// One past its last byte.
        end: u64,
    },
    /// The window is too small.
    #[error("the window's {0:#x} bytes are too few for the image")]
    WindowFull(u64),
    /// The payload is too large.
    #[error("the payload does not fit below {HIGHEST_GPA:#x}")]
    PayloadTooLarge,
    /// A name does not fit a directory entry.
    #[error("the name {0:?} is empty, longer than {NAME_BYTES} bytes or has a zero byte in it")]
    Name(String),
    /// Two files have one name.
    #[error("the name {0:?} is used twice in the image")]
    NameTwice(String),
    /// Something is mapped twice.
    #[error(transparent)]
    Map(#[from] MapError),
    /// Something lies on something.
    #[error(transparent)]
    Claimed(#[from] Claimed),
}

impl LayoutError {
    /// The recipe's field that is to blame.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Place { field, .. } => field,
            Self::Overlap { .. } => "layout.payload_base",
            Self::WindowFull(_) | Self::Map(MapError::NoRoom) => "layout.window_bytes",
            Self::PayloadTooLarge => "payload",
            Self::Name(_) | Self::NameTwice(_) => "files",
            Self::Map(_) => "kernel",
            Self::Claimed(_) => "layout",
        }
    }
}

/// Alignment, order and overlap of window and payload.
pub(super) fn places(parts: &Parts) -> Result<(), LayoutError> {
    // Saturating: what does not fit is beyond the highest end then, and is refused as that.
    let window_end = parts.window_base.saturating_add(parts.window_bytes);
    for (field, value, fits) in [
        ("layout.window_base", parts.window_base, parts.window_base >= LOWEST_GPA),
        ("layout.window_bytes", parts.window_bytes, parts.window_bytes > 0 && window_end <= HIGHEST_GPA),
        ("layout.payload_base", parts.payload_base, (LOWEST_GPA..=HIGHEST_GPA).contains(&parts.payload_base)),
    ] {
        if !fits || !value.is_multiple_of(PAGE_BYTES) {
            return Err(LayoutError::Place { field, value });
        }
    }
    let bytes: u64 =
        parts.payload.iter().map(|file| (file.data.len() as u64).next_multiple_of(PAGE_BYTES)).sum();
    // Files begin at a page each, so the sum is of whole pages.
    let payload_end = parts.payload_base.saturating_add(bytes);
    if parts.payload_base < window_end && parts.window_base < payload_end {
        return Err(LayoutError::Overlap {
            payload: parts.payload_base,
            bytes,
            start: parts.window_base,
            end: window_end,
        });
    }
    Ok(())
}

/// Names that fit a directory entry, each used once.
pub(super) fn names(parts: &Parts) -> Result<(), LayoutError> {
    let mut seen = std::collections::BTreeSet::new();
    for file in parts.files.iter().chain(&parts.payload) {
        let name = &file.name;
        if name.is_empty() || name.len() > NAME_BYTES || name.contains('\0') {
            return Err(LayoutError::Name(name.clone()));
        }
        // Files and payload are found by name in one directory: the second would never be found.
        if !seen.insert(name) {
            return Err(LayoutError::NameTwice(name.clone()));
        }
    }
    Ok(())
}
