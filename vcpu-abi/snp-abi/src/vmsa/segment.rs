//! Segment registers as a VMSA has them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A segment register with its hidden part (APM 2, appendix B).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Segment {
    /// The selector.
    pub selector: u16,
    /// Bits 55:52 and 47:40 of the descriptor, packed into 12 bits: see [`pack_attributes`].
    pub attributes: u16,
    /// The limit in bytes, granularity applied.
    pub limit: u32,
    /// The base address.
    pub base: u64,
}

assert_layout!(Segment, 16, 0: selector, 2: attributes, 4: limit, 8: base);

impl Segment {
    /// A segment of 64 KiB, as in real mode.
    #[must_use]
    pub const fn real_mode(selector: u16, attributes: u16) -> Self {
        Self { selector, attributes, limit: 0xffff, base: (selector as u64) << 4 }
    }
}

/// Packs the access rights of a descriptor, as they stand in its second doubleword from bit 8 on (type, S,
/// DPL and P in bits 7:0; AVL, L, D/B and G in bits 15:12), into the 12 bits of a VMSA or VMCB.
#[must_use]
pub const fn pack_attributes(rights: u16) -> u16 {
    rights & 0xff | (rights >> 4) & 0xf00
}

/// The reverse of [`pack_attributes`]; bits above the twelfth are dropped.
#[must_use]
pub const fn unpack_attributes(attributes: u16) -> u16 {
    attributes & 0xff | (attributes & 0xf00) << 4
}
