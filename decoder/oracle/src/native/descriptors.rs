//! Segments for 32- and 16-bit cases, in the local descriptor table.

use super::mapping::{CODE, DATA};
use decoder::SegmentState;
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
