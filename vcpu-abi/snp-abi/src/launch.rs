//! Launch: the kinds of pages, and the digest that they are measured into (SNP ABI, 8.17).

use sha2::{Digest, Sha384};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::PAGE_BYTES;

/// PAGE_TYPE of SNP_LAUNCH_UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageType {
    /// Measured with its contents.
    Normal = 1,
    /// A vCPU's state, measured with its contents.
    Vmsa = 2,
    /// Zero.
    Zero = 3,
    /// Its contents are not measured.
    Unmeasured = 4,
    /// The firmware fills in a [`SecretsPage`](crate::secrets::SecretsPage).
    Secrets = 5,
    /// The firmware checks a [`CpuidPage`](crate::cpuid_page::CpuidPage).
    Cpuid = 6,
}

impl PageType {
    /// The type of a code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Normal,
            2 => Self::Vmsa,
            3 => Self::Zero,
            4 => Self::Unmeasured,
            5 => Self::Secrets,
            6 => Self::Cpuid,
            _ => return None,
        })
    }

    /// Whether the contents are measured.
    #[must_use]
    pub const fn is_measured(self) -> bool {
        matches!(self, Self::Normal | Self::Vmsa)
    }
}

/// PAGE_INFO: what the digest takes in for each page (SNP ABI, 8.17.2, table 67).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PageInfo {
    /// The digest before.
    pub digest_current: [u8; 48],
    /// The digest of the contents; zero where they are not measured.
    pub contents: [u8; 48],
    /// 70h, the bytes of this structure.
    pub length: u16,
    /// [`PageType`].
    pub page_type: u8,
    /// Bit 0: the page is of the initial migration image.
    pub imi_page: u8,
    /// Reserved.
    pub reserved: u8,
    /// The permissions of VMPL1, VMPL2 and VMPL3. Sources differ in their order; in practice all are 0.
    pub lower_vmpl_permissions: [u8; 3],
    /// Where the page is.
    pub gpa: u64,
}

assert_layout!(
    PageInfo, 0x70, 0: digest_current, 0x30: contents, 0x60: length, 0x62: page_type, 0x63: imi_page,
    0x65: lower_vmpl_permissions, 0x68: gpa,
);

/// The launch digest while a guest is put together: pages are taken in one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchDigest([u8; 48]);

impl Default for LaunchDigest {
    fn default() -> Self {
        Self::new()
    }
}

impl LaunchDigest {
    /// The digest of no page.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; 48])
    }

    /// The digest after pages that somebody else took in.
    #[must_use]
    pub const fn resume(digest: [u8; 48]) -> Self {
        Self(digest)
    }

    /// The digest as it is now.
    #[must_use]
    pub const fn value(&self) -> [u8; 48] {
        self.0
    }

    /// Takes a page in whose contents are measured.
    pub fn measure(&mut self, page_type: PageType, gpa: u64, page: &[u8; PAGE_BYTES]) {
        let contents = if page_type.is_measured() { Sha384::digest(page).into() } else { [0; 48] };
        self.extend(page_type, gpa, contents);
    }

    /// Takes a page in by the digest of its contents: zero where they are not measured.
    pub fn extend(&mut self, page_type: PageType, gpa: u64, contents: [u8; 48]) {
        let info = PageInfo {
            digest_current: self.0,
            contents,
            length: size_of::<PageInfo>() as u16,
            page_type: page_type as u8,
            gpa,
            ..PageInfo::new_zeroed()
        };
        self.0 = Sha384::digest(info.as_bytes()).into();
    }
}
