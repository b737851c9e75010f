//! The Linux/x86 boot protocol (Linux documentation, `arch/x86/boot.rst` and `zero-page.rst`): offsets and
//! flags.

/// Offsets in the setup header, which has the same place in the file and in `boot_params`.
pub mod header {
    /// Number of 512-byte setup sectors after the first; 0 means 4.
    pub const SETUP_SECTS: usize = 0x1f1;
    /// AA55h.
    pub const BOOT_FLAG: usize = 0x1fe;
    /// A jump; its second byte tells where the header ends.
    pub const JUMP: usize = 0x200;
    /// "HdrS".
    pub const MAGIC: usize = 0x202;
    /// Protocol version, major in the high byte.
    pub const VERSION: usize = 0x206;
    /// Which loader.
    pub const TYPE_OF_LOADER: usize = 0x210;
    /// Flags.
    pub const LOADFLAGS: usize = 0x211;
    /// Where the 32-bit entry is.
    pub const CODE32_START: usize = 0x214;
    /// Address of the initial RAM disk.
    pub const RAMDISK_IMAGE: usize = 0x218;
    /// Its size.
    pub const RAMDISK_SIZE: usize = 0x21c;
    /// Address of the command line.
    pub const CMD_LINE_PTR: usize = 0x228;
    /// Highest address the initial RAM disk's last byte may have.
    pub const INITRD_ADDR_MAX: usize = 0x22c;
    /// Alignment of a relocatable kernel.
    pub const KERNEL_ALIGNMENT: usize = 0x230;
    /// Not 0: the kernel can be loaded anywhere.
    pub const RELOCATABLE: usize = 0x234;
    /// More flags.
    pub const XLOADFLAGS: usize = 0x236;
    /// Longest command line, without the final zero.
    pub const CMDLINE_SIZE: usize = 0x238;
    /// Where the kernel wants to be.
    pub const PREF_ADDRESS: usize = 0x258;
    /// Memory the kernel needs from its load address on until it has found its own.
    pub const INIT_SIZE: usize = 0x260;
    /// The longest header there is room for in `boot_params`.
    pub const END_MAX: usize = 0x290;
}

/// Offsets in `boot_params` outside the setup header.
pub mod zero_page {
    /// Physical address of the RSDP (protocol 2.14, ignored by older ones).
    pub const ACPI_RSDP_ADDR: usize = 0x070;
    /// High half of the RAM disk's address.
    pub const EXT_RAMDISK_IMAGE: usize = 0x0c0;
    /// High half of its size.
    pub const EXT_RAMDISK_SIZE: usize = 0x0c4;
    /// High half of the command line's address.
    pub const EXT_CMD_LINE_PTR: usize = 0x0c8;
    /// Number of E820 entries.
    pub const E820_ENTRIES: usize = 0x1e8;
    /// The E820 table.
    pub const E820_TABLE: usize = 0x2d0;
    /// Size of all.
    pub const BYTES: usize = 4096;
}

/// "HdrS", little-endian.
pub const MAGIC: u32 = u32::from_le_bytes(*b"HdrS");
/// [`header::BOOT_FLAG`].
pub const BOOT_FLAG: u16 = 0xaa55;
/// LOADFLAGS: the protected-mode part belongs at 1 MiB or above.
pub const LOADED_HIGH: u8 = 0x01;
/// LOADFLAGS: `heap_end_ptr` is valid.
pub const CAN_USE_HEAP: u8 = 0x80;
/// XLOADFLAGS: there is a 64-bit entry at 200h.
pub const XLF_KERNEL_64: u16 = 1 << 0;
/// XLOADFLAGS: kernel, RAM disk, command line and `boot_params` may lie above 4 GiB.
pub const XLF_CAN_BE_LOADED_ABOVE_4G: u16 = 1 << 1;
/// Loader type "none of the numbered ones".
pub const LOADER_UNDEFINED: u8 = 0xff;
/// The 64-bit entry, from the load address.
pub const ENTRY_64: u64 = 0x200;
/// Where a kernel that is not relocatable goes.
pub const HIGH_ADDRESS: u64 = 0x10_0000;
