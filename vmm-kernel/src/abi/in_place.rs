//! Accesses to the host's ports, done where their operations lie.
//!
//! A driver's batch is mostly these, on one handle. After the first, which goes the general way, the handle
//! is known to be good; the next ones are compared with it and done without a copy. Whatever is different, or
//! wrong, is left to the general way: also where another thread has taken the page away meanwhile, for a
//! fault of these accesses is mended as one of [`user_copy`](crate::memory::user_copy) is.
#![allow(unsafe_code, reason = "operations in memory that the caller shares, with SMAP opened for it")]

use core::arch::asm;

use vcpu_abi::operation::{Call, Handle, Operation, PortRead, PortWrite};
use vcpu_abi::status::Status;

use super::host_port;
use crate::cpu::{masking, this_cpu};
use crate::image;
use crate::object::pool::Ref;
use crate::task::handle::HostPorts;
use crate::task::process::Process;
use crate::task::scheduler;

/// The most accesses between two looks at interrupts.
const UNINTERRUPTED: u64 = 16;

/// Accesses of one direction through one handle.
#[derive(Clone, Copy)]
pub struct PortAccesses {
    ports: HostPorts,
    is_write: bool,
    /// Code and flags.
    header: u64,
    handle: Handle,
}

impl PortAccesses {
    /// Those like an operation that has succeeded; `None` if it was not to a port.
    #[inline(always)]
    pub fn like(process: &Ref<Process>, operation: &Operation) -> Option<Self> {
        let rights = match operation.code {
            _ if !image::takes_shortcuts() => return None,
            PortWrite::CODE => PortWrite::RIGHTS,
            PortRead::CODE => PortRead::RIGHTS,
            _ => return None,
        };
        Some(Self {
            ports: Process::find(process, operation.handle, rights).ok()?,
            is_write: operation.code == PortWrite::CODE,
            header: u64::from(operation.code) | u64::from(operation.flags) << 32,
            handle: operation.handle,
        })
    }

    /// Does at most `count` of them, which lie at `place`: until the first that is different, or that fails.
    /// Returns how many.
    ///
    /// # Safety
    /// `count` operations at `place` lie in the user's half, or in a batch page.
    pub unsafe fn run(self, place: u64, count: u64) -> u64 {
        if !place.is_multiple_of(align_of::<u64>() as u64) {
            return 0;
        }
        let mut done = 0;
        while done < count {
            let more = (count - done).min(UNINTERRUPTED);
            // SAFETY: the caller's promise.
            let did = unsafe { self.run_some(place + done * size_of::<Operation>() as u64, more) };
            done += did;
            if did < more || done == count {
                break;
            }
            masking::take_pending();
            // Another thread may close the handle: the general way looks for it again.
            if scheduler::wants_turn(this_cpu()) {
                break;
            }
        }
        done
    }

    /// # Safety
    /// As for [`Self::run`].
    unsafe fn run_some(self, place: u64, count: u64) -> u64 {
        // SAFETY: opens SMAP, and closes it again behind the loop, which calls nothing that could block; its
        // faults are mended where they come.
        unsafe { asm!("stac", options(nostack)) };
        let done = (0..count).find(|index| {
            // SAFETY: the caller's promise.
            !unsafe { self.access(place + index * size_of::<Operation>() as u64) }
        });
        // SAFETY: as above.
        unsafe { asm!("clac", options(nostack)) };
        done.unwrap_or(count)
    }

    /// Does one, if it is like the first and nothing is wrong with it.
    ///
    /// # Safety
    /// As for [`Self::run`], of one operation.
    #[inline(always)]
    unsafe fn access(self, place: u64) -> bool {
        // SAFETY: the caller's promise.
        let Words { header, handle, offset, width, data } = unsafe { load(place) };
        // The upper half is a reserved field: where it is not zero, the general way refuses the operation,
        // and so this one must not do it.
        if header != self.header || handle != self.handle || data >> 32 != 0 {
            return false;
        }
        let Ok(port) = host_port::port(self.ports, offset, width) else { return false };
        if self.is_write {
            host_port::write(port, width, data as u32);
        } else {
            let value = host_port::read(port, width);
            // SAFETY: as for the loads.
            unsafe { store_data(place, value.into()) };
        }
        // SAFETY: as for the loads.
        unsafe { store_status(place, Status::Ok) };
        true
    }
}

/// The first words of an operation.
struct Words {
    /// Code and flags.
    header: u64,
    handle: u32,
    offset: u32,
    width: u32,
    /// The value, and what is reserved.
    data: u64,
}

/// The first words of an operation, each looked at once, since the process may change it meanwhile. Where
/// they cannot be read, the header is one that no operation of these has.
///
/// # Safety
/// `place` lies in the user's half, with SMAP open, or in a batch page.
#[inline(always)]
unsafe fn load(place: u64) -> Words {
    let (header, handle, offset, width, data);
    // SAFETY: the caller's promise; a fault goes on with the first word's replacement.
    unsafe {
        asm!(
            "2: mov {header}, [{place}]",
            "3: mov {handle:e}, [{place} + 8]",
            "4: mov {offset:e}, [{place} + 16]",
            "5: mov {width:e}, [{place} + 20]",
            "6: mov {data}, [{place} + 24]",
            "8:",
            ".pushsection .text.user_copy, \"ax\"",
            "7: mov {header}, -1",
            "jmp 8b",
            ".popsection",
            ".pushsection fixups, \"a\"",
            ".long 2b - .",
            ".long 7b - .",
            ".long 3b - .",
            ".long 7b - .",
            ".long 4b - .",
            ".long 7b - .",
            ".long 5b - .",
            ".long 7b - .",
            ".long 6b - .",
            ".long 7b - .",
            ".popsection",
            place = in(reg) place,
            header = out(reg) header,
            handle = out(reg) handle,
            offset = out(reg) offset,
            width = out(reg) width,
            data = out(reg) data,
            options(nostack, readonly, preserves_flags),
        );
    }
    Words { header, handle, offset, width, data }
}

/// A store of one instruction; a fault goes on behind it.
macro_rules! store {
    ($instruction:literal, $place:expr, $word:expr) => {
        asm!(
            concat!("2: ", $instruction),
            "3:",
            ".pushsection fixups, \"a\"",
            ".long 2b - .",
            ".long 3b - .",
            ".popsection",
            place = in(reg) $place,
            word = in(reg) $word,
            options(nostack, preserves_flags),
        )
    };
}

/// Stores what a port gave. Where that cannot be done, nobody will look.
///
/// # Safety
/// As for [`load`].
#[inline(always)]
unsafe fn store_data(place: u64, data: u64) {
    // SAFETY: the caller's promise; a fault goes on behind the store.
    unsafe {
        store!("mov [{place} + 24], {word}", place, data);
    }
}

/// Stores an operation's status, which is behind the handle. Where that cannot be done, nobody will look.
///
/// # Safety
/// As for [`load`].
#[inline(always)]
unsafe fn store_status(place: u64, status: Status) {
    // SAFETY: the caller's promise; a fault goes on behind the store.
    unsafe {
        store!("mov dword ptr [{place} + 12], {word:e}", place, status as u32);
    }
}

/// The words that [`PortAccesses::access`] takes a port operation for.
const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Operation, code) == 0 && offset_of!(Operation, flags) == 4);
    assert!(offset_of!(Operation, handle) == 8 && offset_of!(Operation, status) == 12);
    assert!(offset_of!(Operation, payload) == 16);
    assert!(offset_of!(PortWrite, offset) == 0 && offset_of!(PortRead, offset) == 0);
    assert!(offset_of!(PortWrite, width) == 4 && offset_of!(PortRead, width) == 4);
    assert!(offset_of!(PortWrite, value) == 8 && offset_of!(PortRead, value) == 8);
    assert!(offset_of!(PortWrite, reserved) == 12 && offset_of!(PortRead, reserved) == 12);
};

#[cfg(test)]
mod tests;
