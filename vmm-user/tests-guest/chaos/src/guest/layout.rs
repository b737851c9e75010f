//! Where things are in the guest's memory. All of it but the playground is mapped by identity, for the
//! supervisor only.

/// Where a processor starts after a SIPI, and where real-mode interrupts lead.
pub const TRAMPOLINE: u64 = 0x1_0000;
/// Real-mode snippets: code, data and stack, up to 3FFFFh.
pub const REAL_MODE: u64 = 0x2_0000;

/// Each processor's area.
pub const CPU_AREA: u64 = 0x40_0000;
pub const CPU_AREA_BYTES: u64 = 0x10_0000;
/// In a processor's area: what the GDTR points to, and a copy of it.
pub const GDT: u64 = 0x2000;
pub const GDT_COPY: u64 = 0x2800;
/// The TSS, with the I/O permission map behind it.
pub const TSS: u64 = 0x3000;
/// Page tables: root, a second root with the same contents, directory pointers, and the playground's
/// directory.
pub const ROOT: u64 = 0x6000;
pub const SECOND_ROOT: u64 = 0x7000;
pub const POINTERS: u64 = 0x8000;
pub const DIRECTORY: u64 = 0x9000;
/// The stacks of the interrupt stack table, of 8 KiB each: the processor's area is written at the bottom of
/// each.
pub const INTERRUPT_STACKS: u64 = 0x1_0000;
pub const INTERRUPT_STACK_BYTES: u64 = 0x2000;
/// Top of the ordinary stack.
pub const STACK_TOP: u64 = 0x6_0000;

/// What both processors share: IDTs for long and for legacy mode, the playground's page tables, legacy page
/// tables.
pub const IDT: u64 = 0x60_0000;
pub const IDT_COPY: u64 = 0x60_1000;
pub const LEGACY_IDT: u64 = 0x60_2000;
/// The IDT on the way between modes, which has an entry for NMIs alone, in all three formats: real mode's at
/// 8, protected mode's at 16, long mode's at 32.
pub const BETWEEN_IDT: u64 = 0x60_2800;
pub const BETWEEN_IDT_BYTES: u64 = 0x30;
pub const USER_TABLE: u64 = 0x60_3000;
pub const KERNEL_TABLE: u64 = 0x60_4000;
pub const LEGACY_DIRECTORY: u64 = 0x60_5000;
pub const PAE_POINTERS: u64 = 0x60_6000;
pub const PAE_DIRECTORIES: u64 = 0x60_7000;
/// Operands of LGDT and LIDT, 16 bytes apart.
pub const POINTER_OPERANDS: u64 = 0x60_c000;
/// Of these, the one for that IDT.
pub const BETWEEN_OPERAND: u64 = POINTER_OPERANDS + 10 * 16;
/// The flags by which the processors talk to each other.
pub const SHARED: u64 = 0x60_d000;
/// Tables for the way back to long mode: root, directory pointers.
pub const RETURN_ROOT: u64 = 0x60_e000;
pub const RETURN_POINTERS: u64 = 0x60_f000;
/// Tables of the lowest GiB, in which the supervisor's code is read-only.
pub const LOW_DIRECTORY: u64 = 0x61_0000;
pub const LOW_TABLE: u64 = 0x61_1000;
pub const OWN_END: u64 = 0x61_2000;

/// The playground: 2 MiB of memory for snippets and their data, at two addresses besides.
pub const PLAYGROUND: u64 = 0x100_0000;
pub const USER: u64 = 0x4000_0000;
pub const KERNEL: u64 = 0x4020_0000;
/// Pages of the playground that hold code, for each processor; then come data, and then pages of devices and
/// of nothing.
pub const CODE_PAGES: u64 = 8;
/// Of these, the ones for code without privilege.
pub const USER_CODE_PAGE: u64 = 4;
pub const USER_CODE_PAGES: u64 = 4;
pub const DATA_PAGES: u64 = 64;
pub const FIRST_DATA_PAGE: u64 = 16;
pub const FIRST_SPECIAL_PAGE: u64 = 128;
pub const SPECIAL_PAGES: u64 = 64;
/// Frames that races use, above all others.
pub const RACE_PAGE: u64 = 256;

pub const APIC: u64 = 0xfee0_0000;
pub const IO_APIC: u64 = 0xfec0_0000;
pub const HPET: u64 = 0xfed0_0000;

/// Selectors of each processor's GDT.
pub const KERNEL_CODE: u64 = 0x08;
pub const KERNEL_DATA: u64 = 0x10;
pub const KERNEL_CODE_32: u64 = 0x18;
pub const KERNEL_CODE_16: u64 = 0x20;
pub const USER_CODE_32: u64 = 0x2b;
pub const USER_DATA: u64 = 0x33;
pub const USER_CODE: u64 = 0x3b;
pub const USER_CODE_16: u64 = 0x43;
pub const TASK: u64 = 0x48;
/// Descriptors of no fixed meaning.
pub const RANDOM_DESCRIPTORS: u64 = 0x60;
pub const RANDOM_DESCRIPTOR_COUNT: u64 = 16;
pub const GDT_BYTES: u64 = 0x200;

/// Ends a snippet from user mode.
pub const END_VECTOR: u64 = 0x81;
