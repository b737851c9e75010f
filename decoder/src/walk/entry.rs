//! The format of page-table entries of eight bytes (APM 2, 5.3; SDM 3, 4.4 and 4.5).

use super::Paging;
use crate::bits::EFER_NXE;

/// An entry in memory that is not there.
pub(super) const ABSENT: u64 = u64::MAX;
pub(super) const PRESENT: u64 = 1 << 0;
pub(super) const WRITABLE: u64 = 1 << 1;
pub(super) const USER: u64 = 1 << 2;
pub(super) const ACCESSED: u64 = 1 << 5;
pub(super) const DIRTY: u64 = 1 << 6;
/// PS: the entry maps a page, not a table.
pub(super) const LARGE: u64 = 1 << 7;
pub(super) const NO_EXECUTE: u64 = 1 << 63;
/// Where the page or table lies; what the guest has no physical address bits for is reserved instead.
pub(super) const ADDRESS: u64 = bits(12, 52);

/// Bits `from` up to but not including `to`; both at most 63.
const fn bits(from: u32, to: u32) -> u64 {
    ((1 << to) - 1) & !((1 << from) - 1)
}

/// The number of address bits below those that index a table of `level`, which is 1 to 5.
pub(super) const fn shift(level: u32) -> u32 {
    12 + 9 * (level - 1)
}

/// The bits that must be clear in present entries of every level (but a PAE directory pointer has more of
/// them).
#[inline]
pub(super) fn reserved(paging: &Paging, is_pae: bool) -> u64 {
    // The shifts below are defined for these alone.
    let physical_bits = u32::from(paging.physical_bits.clamp(32, 52));
    let end = if is_pae { 63 } else { 52 };
    // Without the feature the bit is reserved like any other.
    let no_execute = if paging.efer & EFER_NXE == 0 { NO_EXECUTE } else { 0 };
    bits(physical_bits, end) | no_execute
}

/// A PAE directory pointer has neither rights nor bit 63 (SDM 3, table 4-8). It has no accessed bit either,
/// but QEMU's TCG sets bit 5 there at each walk. That it is not looked at never shows: a processor that minds
/// has faulted before it exits.
pub(super) const RESERVED_IN_POINTER: u64 = NO_EXECUTE | bits(1, 3) | bits(6, 9);

/// The bits that must be clear in an entry of `level` with PS set, if that is not level 1.
#[inline]
pub(super) fn reserved_in_large(paging: &Paging, level: u32) -> u64 {
    match level {
        // Bit 12 of a large page is PAT.
        2 => bits(13, shift(2)),
        // A guest that is not offered such pages finds the bit reserved.
        3 if paging.gigabyte_pages => bits(13, shift(3)),
        _ => LARGE,
    }
}
