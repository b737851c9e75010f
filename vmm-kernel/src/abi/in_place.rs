//! Accesses to the host's ports, done where their operations lie.
//!
//! A driver's batch is mostly these, on one handle. After the first, which goes the general way, the handle
//! is known to be good; the next ones are compared with it and done without a copy. Whatever is different, or
//! wrong, is left to the general way.
#![allow(unsafe_code, reason = "operations in memory that the caller shares, with SMAP opened for it")]

use core::arch::asm;

use vcpu_abi::operation::{Call, Handle, Operation, PortRead, PortWrite};
use vcpu_abi::status::Status;

use super::host_port;
use crate::cpu::{interrupts, this_cpu};
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
    /// Answers how many.
    ///
    /// # Safety
    /// `count` operations at `place` lie in memory of the running process, or of a batch page, that can be
    /// written and stays mapped.
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
            interrupts::take_pending();
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
        // SAFETY: opens SMAP, and closes it again behind the loop, which calls nothing that could block or
        // fault.
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
        let words = place as *mut u64;
        // SAFETY: the caller's promise; volatile, since the process may change it meanwhile: each word is
        // looked at once.
        let [header, handle, target, data] = [0, 1, 2, 3].map(|i| unsafe { words.add(i).read_volatile() });
        if header != self.header || handle as u32 != self.handle || data >> 32 != 0 {
            return false;
        }
        let width = (target >> 32) as u32;
        let Ok(port) = host_port::port(self.ports, target as u32, width) else { return false };
        if self.is_write {
            host_port::write(port, width, data as u32);
        } else {
            let value = host_port::read(port, width);
            // SAFETY: as for the loads.
            unsafe { words.add(3).write_volatile(value.into()) };
        }
        // SAFETY: as for the loads. The status is behind the handle.
        unsafe { words.cast::<i32>().add(3).write_volatile(Status::Ok as i32) };
        true
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
