//! What the image builder tells the kernel: the boot page and the directory of files.
//!
//! `igvm-tools build` lays these structures into the image as measured pages, so the kernel may trust them as
//! far as it trusts itself. What the *host* inserts at load time (memory map, VP count, environment info)
//! lies in the parameter areas the boot page points to, and is hostile input.
//!
//! At entry (IGVM NATIVE context): long mode, paging on with `CR3` = the image's page tables (also in `RAX`),
//! `RDI` = virtual address of the [`BootPage`], `RSP` = top of the boot stack, interrupts off. The tables map
//! the kernel's segments as its ELF program headers say (W^X), the boot page, the directory and the parameter
//! areas (read-only), and themselves at PML4 slot [`SELF_MAP_SLOT`]; nothing else, and nothing by identity.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The first eight bytes of the boot page: "PLNTHBP1".
pub const BOOT_MAGIC: u64 = u64::from_le_bytes(*b"PLNTHBP1");

/// The PML4 slot through which the page tables map themselves.
pub const SELF_MAP_SLOT: usize = 510;

/// Where igvm-tools maps the boot page: PML4 slot 509. Directory and parameter areas follow it, page by page.
pub const BOOT_PAGE_VIRTUAL: u64 = 0xffff_fe80_0000_0000;

/// Set in [`BootPage::flags`]: the recipe asks for a debug image, whose log is copied to the host's console.
pub const BOOT_FLAG_DEBUG: u32 = 1 << 0;

/// Set in [`BootPage::flags`]: the recipe asks for measures against speculative execution with what others
/// left in the processor.
pub const BOOT_FLAG_MITIGATIONS: u32 = 1 << 1;

/// Set in [`BootPage::flags`]: the kernel takes no short cuts. Every run and every operation goes the general
/// way, to compare.
pub const BOOT_FLAG_NO_SHORTCUTS: u32 = 1 << 2;

/// What an image is made for: [`BootPage::platform`].
pub mod platform {
    /// A virtual machine that is not confidential. The fields behind [`platform`](super::BootPage::platform)
    /// are zero.
    pub const NATIVE: u32 = 0;
    /// A confidential virtual machine of SEV-SNP, entered at VMPL0.
    pub const SEV_SNP: u32 = 1;
}

/// The page that describes the image to the kernel. All `_gpa` fields are page-aligned physical addresses as
/// the host counts them, all `_virtual` fields where the initial page tables map the same page.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct BootPage {
    /// [`BOOT_MAGIC`].
    pub magic: u64,
    /// `BOOT_FLAG_*`.
    pub flags: u32,
    /// Number of [`DirectoryEntry`]s.
    pub directory_entries: u32,
    /// First byte of the window of physical memory that is Plinth's own.
    pub window_gpa: u64,
    /// Size of the window. The kernel keeps what it needs from the front and gives the rest to the guest.
    pub window_bytes: u64,
    /// End of what the image itself occupies in the window; the kernel's free memory starts here.
    pub image_end_gpa: u64,
    /// The root of the initial page tables.
    pub page_table_root_gpa: u64,
    /// The directory: an array of [`DirectoryEntry`].
    pub directory_virtual: u64,
    /// The IGVM memory map area: `IGVM_VHS_MEMORY_MAP_ENTRY`s, ended by one of zero pages or by the area's
    /// end.
    pub memory_map_virtual: u64,
    /// Size of the memory map area.
    pub memory_map_bytes: u64,
    /// The VP count area: one `u32` at its start.
    pub vp_count_virtual: u64,
    /// The environment info area: `IgvmEnvironmentInfo`, a `u32`, at its start.
    pub environment_info_virtual: u64,
    /// A constant of [`platform`].
    pub platform: u32,
    /// The number of the bit in a page-table entry that tells private pages from those that the host can
    /// read; 0 where there is none. Whether it marks the private ones (the C-bit of SEV, APM volume 2,
    /// 15.34.1) or the shared ones (the shared bit of TDX) is the platform's. Where it marks the private
    /// ones, every entry of the initial page tables has it.
    pub sharing_bit: u32,
    /// The page with what the launch has checked of the host's CPUID (SEV-SNP); 0 where there is none.
    pub cpuid_page_virtual: u64,
    /// The page with the secrets that the launch has put in (SEV-SNP); 0 where there is none.
    pub secrets_page_virtual: u64,
    /// The first processor's page for calls to the host, shared with it (SEV: the GHCB); 0 where there is
    /// none.
    pub host_call_page_virtual: u64,
}

/// What a file in the image is, and with that where it lies.
pub mod file_kind {
    /// A file of the RAM file system, in Plinth's window.
    pub const SYSTEM: u32 = 1;
    /// A part of the guest payload, in memory that is the guest's: it is given to the guest as it is.
    pub const PAYLOAD: u32 = 2;
}

/// Longest file name in bytes.
pub const NAME_BYTES: usize = 64;

/// One file of the image: whole pages, the last one padded with zeros.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct DirectoryEntry {
    /// UTF-8, padded with zeros; unique in the image.
    pub name: [u8; NAME_BYTES],
    /// First byte.
    pub gpa: u64,
    /// Length of the contents, not counting padding.
    pub bytes: u64,
    /// [`file_kind`].
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<BootPage>() == 120);
    assert!(offset_of!(BootPage, directory_virtual) == 48);
    assert!(offset_of!(BootPage, platform) == 88);
    assert!(size_of::<DirectoryEntry>() == 88);
    assert!(offset_of!(DirectoryEntry, gpa) == NAME_BYTES);
};
