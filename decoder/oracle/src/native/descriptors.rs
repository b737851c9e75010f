//! Segments for 32- and 16-bit cases, in the local descriptor table.

use super::mapping::{CODE, DATA};
use decoder::{SegmentState, Size};
use std::io;

/// A descriptor: where its selector points to, and what the emulator is told of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub(super) selector: u16,
    pub(super) state: SegmentState,
}

/// The kernel's `struct user_desc`.
#[repr(C)]
struct UserDescriptor {
    entry_number: u32,
    base: u32,
    limit: u32,
    /// Bit 0 32-bit, 2:1 contents (data, expand-down, code), 3 read or execute only, 4 limit in pages, 6
    /// useable.
    flags: u32,
}

/// The kernel's flat user segments for 64-bit code.
pub(super) const LONG_CODE: Descriptor = descriptor(0x33, 0, u32::MAX, 0xafb);
pub(super) const LONG_DATA: Descriptor = descriptor(0x2b, 0, u32::MAX, 0xcf3);

/// Code segments: 32-bit and 16-bit.
pub(super) const CODE_32: Descriptor = local(1, CODE as u32, 0xfff, 0x4fb);
pub(super) const CODE_16: Descriptor = local(2, CODE as u32, 0xfff, 0x0fb);

/// A base near the data, so that small offsets reach it.
const BASE: u32 = DATA as u32 - 0x800;

/// Data segments, writable up to 3 first: those can be stacks.
pub(super) const DATA_SEGMENTS: [Descriptor; 6] = [
    local(3, 0, u32::MAX, 0xcf3),
    local(4, BASE, 0x3fff, 0x4f3),
    local(5, BASE, 0x27ff, 0x0f3),
    // Expands down: offsets above 17FFh.
    local(6, BASE, 0x17ff, 0x4f7),
    // Read-only.
    local(7, BASE, 0x3fff, 0x4f1),
    // Code that can be read, which also means not written.
    local(8, BASE, 0x3fff, 0x4fb),
];

/// How many of [`DATA_SEGMENTS`] can be stacks.
pub(super) const STACK_SEGMENTS: usize = 4;

/// Where the emulator is told that the descriptor tables are: where no case's addresses are.
pub(super) const GDT_AT: u64 = 0xffff_fe00_0000_0000;
/// Where the emulator is told that the local one is.
pub(super) const LDT_AT: u64 = GDT_AT + 0x1000;
/// Linux has sixteen entries.
pub(super) const GDT_LIMIT: u16 = 127;
/// Entries of the local table.
const LDT_ENTRIES: usize = 16;

/// Whether a linear address lies in one of the tables.
pub(super) fn contains(linear: u64) -> bool {
    (GDT_AT..LDT_AT + 8 * LDT_ENTRIES as u64).contains(&linear)
}

/// What is in the tables.
pub(super) fn read(linear: u64, size: Size) -> Option<u64> {
    if !contains(linear) {
        return None;
    }
    let table = if linear < LDT_AT { gdt() } else { ldt() };
    let offset = (linear & 0xfff) as usize;
    let bytes: Vec<u8> = table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    let mut value = [0; 8];
    let found = bytes.get(offset..offset + size.bytes() as usize)?;
    value[..found.len()].copy_from_slice(found);
    Some(u64::from_le_bytes(value))
}

/// The local table.
pub(super) fn ldt() -> [u64; LDT_ENTRIES] {
    let mut table = [0; LDT_ENTRIES];
    for segment in [CODE_32, CODE_16].iter().chain(&DATA_SEGMENTS) {
        if let Some(entry) = table.get_mut(usize::from(segment.selector >> 3)) {
            // Linux sets the bit that is for software.
            *entry = encoded(segment) | 1 << 52;
        }
    }
    table
}

/// What of Linux's global table cases use: the user's segments, and the kernel's data, which it may not have.
fn gdt() -> [u64; LDT_ENTRIES] {
    let mut table = [0; LDT_ENTRIES];
    table[3] = encoded(&descriptor(0x18, 0, u32::MAX, 0xc93));
    table[4] = encoded(&descriptor(0x23, 0, u32::MAX, 0xcfb));
    table[5] = encoded(&LONG_DATA);
    table[6] = encoded(&LONG_CODE);
    table
}

/// A descriptor as it lies in a table (APM 2, 4.7).
fn encoded(segment: &Descriptor) -> u64 {
    let state = segment.state;
    let attributes = u64::from(state.attributes);
    // A table has it in pages where the granularity bit says so.
    let limit = u64::from(if attributes & 1 << 11 != 0 { state.limit >> 12 } else { state.limit });
    (limit & 0xffff)
        | (state.base & 0xff_ffff) << 16
        | (attributes & 0xff) << 40
        | (limit >> 16) << 48
        | (attributes >> 8) << 52
        | (state.base >> 24) << 56
}

const fn local(entry: u16, base: u32, limit: u32, attributes: u16) -> Descriptor {
    descriptor(entry << 3 | 7, base, limit, attributes)
}

const fn descriptor(selector: u16, base: u32, limit: u32, attributes: u16) -> Descriptor {
    Descriptor { selector, state: SegmentState { base: base as u64, limit, attributes } }
}

fn install(descriptor: Descriptor) -> io::Result<()> {
    let SegmentState { base, limit, attributes } = descriptor.state;
    let has = |bit: u16| u32::from(attributes & bit != 0);
    let contents = if has(SegmentState::CODE) != 0 { 2 } else { has(SegmentState::EXPAND_DOWN) };
    let in_pages = has(1 << 11);
    let mut user = UserDescriptor {
        entry_number: (descriptor.selector >> 3).into(),
        base: base as u32,
        limit: if in_pages != 0 { limit >> 12 } else { limit },
        // The kernel's bit 3 says the opposite of the table's: that the segment can't be written, or not be
        // read.
        flags: has(SegmentState::BIG)
            | contents << 1
            | (has(SegmentState::WRITABLE) ^ 1) << 3
            | in_pages << 4
            | 1 << 6,
    };
    // SAFETY: modify_ldt's write reads one `user_desc` of this size; the descriptors map nothing new.
    let status = unsafe { libc::syscall(libc::SYS_modify_ldt, 0x11, &raw mut user, size_of_val(&user)) };
    // The C library takes this call's failures for successes: it returns 32 bits of them.
    match status as i32 {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

/// Installs the descriptors. Once a process.
///
/// # Errors
/// Where the kernel is built without `modify_ldt` or without segments of 16 bits, or a container forbids it.
pub(super) fn set_up() -> io::Result<()> {
    [CODE_32, CODE_16].into_iter().chain(DATA_SEGMENTS).try_for_each(install)
}
