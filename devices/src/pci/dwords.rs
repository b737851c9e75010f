//! Registers in a BAR that are dwords: a qword is two of them, and what is narrower is a part of one.

use crate::capability::Width;

/// A load, in terms of loads of whole dwords.
pub fn read(offset: u64, width: Width, mut dword: impl FnMut(u64) -> u32) -> u64 {
    let first = offset & !3;
    let low = u64::from(dword(first));
    let high = if width == Width::Qword { u64::from(dword(first.saturating_add(4))) << 32 } else { 0 };
    (low | high) >> (8 * (offset & 3)) & width.mask()
}

/// A store, in terms of stores of whole dwords. One that is narrower or not aligned is dropped; returns
/// whether it was not.
pub fn write(offset: u64, width: Width, value: u64, mut dword: impl FnMut(u64, u32)) -> bool {
    let is_whole = width.bytes() >= 4 && offset.is_multiple_of(width.bytes());
    if is_whole {
        dword(offset, value as u32);
    }
    if is_whole && width == Width::Qword {
        dword(offset.saturating_add(4), (value >> 32) as u32);
    }
    is_whole
}
