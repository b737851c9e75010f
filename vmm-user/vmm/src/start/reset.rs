//! What a machine takes that goes on when its guest resets it (`set reset in-place`).
//!
//! This process ends then, and init starts another with the same devices: everything of the machine is as at
//! first. Guest memory alone outlives the process, and with it what the image put there.

use runtime::Start;

use super::kernel::optional_payload;
use super::{Result, StartError};
use crate::guest_memory::{GuestRam, Range};
use crate::handles::Handles;

/// Whether the configuration wants that. Else a reset is the machine's end.
pub fn is_in_place(start: &Start) -> bool {
    start.setting("reset") == Some("in-place")
}

/// Whether there was a guest before in this memory.
pub fn is_again(start: &Start) -> bool {
    start.setting("resets").is_some()
}

/// Keeps the payload from the guest, which finds no memory where that is: it is loaded again after each
/// reset.
pub fn keep_payload(handles: &Handles, ram: &mut GuestRam) -> Result<()> {
    for name in ["linux", "initrd", "cmdline"] {
        let file = optional_payload(handles, name)?;
        if file.bytes > 0 {
            ram.take(file.gpa, file.bytes).ok_or(StartError::File(name))?;
        }
    }
    Ok(())
}

/// Fills the guest's memory with zeroes, as it was when the machine was switched on: nothing of the guest
/// before is left to the next one.
pub fn clear(ram: &GuestRam) -> Result<()> {
    let cleared = ram.ranges().iter().all(|Range { gpa, bytes }| ram.clear(*gpa, *bytes));
    if cleared { Ok(()) } else { Err(StartError::Guest("its memory cannot be cleared".into())) }
}
