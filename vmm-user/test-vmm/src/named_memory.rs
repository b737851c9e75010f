//! What of guest memory a device's process reaches: what its recipe names, and nothing else.
//!
//! `set memory NAME GPA BYTES` (in hexadecimal) says what that should be; the log says whether it is.

use runtime::abi::operation::{MemoryMap, MemoryNarrow, MemoryRange};
use runtime::abi::status::Status;
use runtime::{Start, call};
use vmm::guest_memory::{Range, ranges};

/// Where it is mapped.
const ADDRESS: u64 = 0x2000_0000_0000;
const PAGE: u64 = 4096;
/// More handles than the process has.
const HANDLES: u32 = 96;

/// Looks at it, if the configuration asks for that.
pub fn check(start: &Start) {
    let Some(setting) = start.setting("memory") else { return };
    match reached(start, setting) {
        Ok(()) => log::info!("memory {setting} is reached, and nothing else"),
        Err(what) => log::error!("memory {setting}: {what}"),
    }
}

/// The error says what is wrong.
fn reached(start: &Start, setting: &str) -> Result<(), &'static str> {
    let mut words = setting.split(' ');
    let name = words.next().unwrap_or_default();
    let mut number = || u64::from_str_radix(words.next()?, 16).ok();
    let (Some(gpa), Some(bytes)) = (number(), number()) else { return Err("no range is set") };
    let memory = start.handle(name).ok_or("there is no handle to it")?;
    // As it is listed first, then as it can be mapped: the kernel looks at the handle's bounds in both.
    if ranges(memory).as_deref() != Ok(&[Range { gpa, bytes }]) {
        return Err("the handle is to another range");
    }
    for (gpa, bytes) in [
        (gpa - PAGE, PAGE),
        (gpa - PAGE, bytes + 2 * PAGE),
        (gpa + bytes - PAGE, 2 * PAGE),
        (gpa + bytes, PAGE),
        (gpa + (1 << 20), PAGE),
    ] {
        if call(memory, MemoryMap { address: ADDRESS, gpa, bytes }).err() != Some(Status::NotFound) {
            return Err("it reaches more");
        }
    }
    call(memory, MemoryMap { address: ADDRESS, gpa, bytes }).map_err(|_| "it cannot be mapped")?;
    // Without the right to give it away there is no handle to a part of it either.
    let narrowed = call(memory, MemoryNarrow { gpa, bytes, ..MemoryNarrow::default() });
    if narrowed.err() != Some(Status::NoRight) {
        return Err("it may be given away");
    }
    let is_memory = |handle| call(handle, MemoryRange::default()).is_ok();
    if (1..HANDLES).any(|handle| handle != memory && is_memory(handle)) {
        return Err("there is another handle to guest memory");
    }
    Ok(())
}
