//! The CPUID page: what the firmware accepted of the host's CPUID (SNP ABI, 8.17.2.6; as Linux' `struct
//! snp_cpuid_table` has it).

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// How many functions there may be.
pub const MAX_ENTRIES: usize = 64;

/// One function and what it returns.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CpuidEntry {
    /// The function.
    pub eax_in: u32,
    /// The subfunction.
    pub ecx_in: u32,
    /// XCR0 for which this is so, in leaf Dh.
    pub xcr0_in: u64,
    /// XSS for which this is so, in leaf Dh.
    pub xss_in: u64,
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
    /// Reserved.
    pub reserved: u64,
}

assert_layout!(
    CpuidEntry, 0x30, 0x00: eax_in, 0x04: ecx_in, 0x08: xcr0_in, 0x10: xss_in, 0x18: eax, 0x1c: ebx,
    0x20: ecx, 0x24: edx, 0x28: reserved,
);

/// The page.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CpuidPage {
    /// How many entries are valid.
    pub count: u32,
    /// Reserved.
    pub reserved_1: u32,
    /// Reserved.
    pub reserved_2: u64,
    /// The entries.
    pub entries: [CpuidEntry; MAX_ENTRIES],
    /// Reserved.
    pub reserved_3: [u8; 0x3f0],
}

assert_layout!(CpuidPage, 0x1000, 0: count, 0x10: entries, 0xc10: reserved_3);

impl CpuidPage {
    /// A page with these entries; None if they are too many.
    #[must_use]
    pub fn new(entries: &[CpuidEntry]) -> Option<Self> {
        let mut page = Self::new_zeroed();
        page.entries.get_mut(..entries.len())?.copy_from_slice(entries);
        page.count = u32::try_from(entries.len()).ok()?;
        Some(page)
    }

    /// The valid entries; None if there are said to be more than there is room for.
    #[must_use]
    pub fn valid(&self) -> Option<&[CpuidEntry]> {
        self.entries.get(..usize::try_from(self.count).ok()?)
    }
}
