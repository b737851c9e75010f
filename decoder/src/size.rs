//! Operand sizes.

/// The size of an operand or of one access to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Size {
    /// A byte.
    B1 = 1,
    /// Two bytes.
    B2 = 2,
    /// Four bytes.
    B4 = 4,
    /// Eight bytes.
    B8 = 8,
    /// Sixteen bytes: an XMM register, or the operand of CMPXCHG16B. Never seen by a device or by
    /// [`GuestMemory::read`](crate::GuestMemory::read), which get two halves.
    B16 = 16,
}

impl Size {
    /// The size in bytes.
    #[inline]
    pub const fn bytes(self) -> u64 {
        self as u64
    }

    /// The size in bits.
    #[inline]
    pub const fn bits(self) -> u32 {
        self as u32 * 8
    }

    /// The bits of a 64-bit value that an operand of this size has; all of them from eight bytes on.
    #[inline]
    pub const fn mask(self) -> u64 {
        let bits = self.bits();
        u64::MAX >> (64 - if bits > 64 { 64 } else { bits })
    }

    /// The most significant bit of an operand of this size; bit 63 from eight bytes on.
    #[inline]
    pub const fn sign_bit(self) -> u64 {
        self.mask() ^ (self.mask() >> 1)
    }

    /// Sign-extends the low bits of `value` to 64.
    #[inline]
    pub const fn sign_extend(self, value: u64) -> u64 {
        let value = value & self.mask();
        (value ^ self.sign_bit()).wrapping_sub(self.sign_bit())
    }

    /// The largest access that is aligned at `address` and is not longer than `bytes` (1 or more) or than
    /// eight.
    #[inline]
    pub(crate) const fn largest_aligned(address: u64, bytes: u64) -> Size {
        if bytes >= 8 && address.is_multiple_of(8) {
            Size::B8
        } else if bytes >= 4 && address.is_multiple_of(4) {
            Size::B4
        } else if bytes >= 2 && address.is_multiple_of(2) {
            Size::B2
        } else {
            Size::B1
        }
    }
}
