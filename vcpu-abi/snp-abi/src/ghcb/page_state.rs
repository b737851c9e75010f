//! The buffer of a page state change (GHCB, 4.1.6; as Linux' `struct snp_psc_desc` has it).

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::rmp::PageSize;

/// How many entries fit into the GHCB's buffer.
pub const MAX_ENTRIES: usize = 253;

/// The host's errors, in the upper half of SW_EXITINFO2 (GHCB, 4.1.6).
pub mod page_state_error {
    /// The header is wrong.
    pub const INVALID_HEADER: u64 = 1 << 32 | 1;
    /// An entry is wrong.
    pub const INVALID_ENTRY: u64 = 1 << 32 | 2;
    /// Something else.
    pub const GENERIC: u64 = 1 << 40;
}

/// What is to become of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOperation {
    /// Assigned to the guest.
    Private = 1,
    /// Shared with the host.
    Shared = 2,
    /// A large page becomes small ones.
    Smash = 3,
    /// Small pages become a large one.
    Unsmash = 4,
}

impl PageOperation {
    /// The operation of a code.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            1 => Self::Private,
            2 => Self::Shared,
            3 => Self::Smash,
            4 => Self::Unsmash,
            _ => return None,
        })
    }
}

/// The header.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PageStateHeader {
    /// The first entry to be handled; the host moves it.
    pub current_entry: u16,
    /// The last entry.
    pub end_entry: u16,
    /// Reserved.
    pub reserved: u32,
}

assert_layout!(PageStateHeader, 8, 0: current_entry, 2: end_entry, 4: reserved);

/// A page or a large page.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PageStateEntry(pub u64);

impl PageStateEntry {
    const GFN: u64 = (1 << 40) - 1;

    /// An entry of which nothing has been done.
    #[must_use]
    pub const fn new(gfn: u64, operation: PageOperation, size: PageSize) -> Self {
        Self((size as u64) << 56 | (operation as u64) << 52 | (gfn & Self::GFN) << 12)
    }

    /// Bits 11:0, how many of the 4 KiB pages have been changed.
    #[must_use]
    pub const fn current_page(self) -> u16 {
        (self.0 & 0xfff) as u16
    }

    /// The same with another such number.
    #[must_use]
    pub const fn with_current_page(self, pages: u16) -> Self {
        Self(self.0 & !0xfff | pages as u64 & 0xfff)
    }

    /// Bits 51:12, the guest frame number.
    #[must_use]
    pub const fn gfn(self) -> u64 {
        self.0 >> 12 & Self::GFN
    }

    /// Bits 55:52, what is to be done; None if it is not defined.
    #[must_use]
    pub const fn operation(self) -> Option<PageOperation> {
        PageOperation::from_code(self.0 >> 52 & 0xf)
    }

    /// Bit 56, the page's size.
    #[must_use]
    pub const fn size(self) -> PageSize {
        PageSize::from_bit(self.0 >> 56)
    }

    /// Whether a bit is set that means nothing.
    #[must_use]
    pub const fn has_reserved(self) -> bool {
        self.0 >> 57 != 0
    }
}

/// Header and entries, as many as fit.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PageStateBuffer {
    /// The header.
    pub header: PageStateHeader,
    /// The entries.
    pub entries: [PageStateEntry; MAX_ENTRIES],
}

assert_layout!(PageStateBuffer, 0x7f0, 0: header, 8: entries);

impl PageStateBuffer {
    /// A buffer with these entries; None if there are none or too many.
    #[must_use]
    pub fn new(entries: &[PageStateEntry]) -> Option<Self> {
        let mut buffer = Self::new_zeroed();
        buffer.entries.get_mut(..entries.len())?.copy_from_slice(entries);
        buffer.header.end_entry = u16::try_from(entries.len()).ok()?.checked_sub(1)?;
        Some(buffer)
    }
}
