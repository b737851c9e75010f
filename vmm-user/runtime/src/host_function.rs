//! A function of the host's PCI bus that this process drives. All that it says is hostile.
#![allow(unsafe_code, reason = "windows onto pages that the kernel has mapped")]

use vcpu_abi::operation::{
    FunctionAllocate, FunctionBind, FunctionEnable, FunctionMap, FunctionRead, Handle,
};
use vcpu_abi::status::Status;

use crate::event::Event;
use crate::window::Window;
use crate::{call, heap};

/// A claimed function.
#[derive(Clone, Copy, Debug)]
pub struct HostFunction(pub Handle);

/// Memory that a function may access, and the address by which it does.
#[derive(Clone, Copy, Debug)]
pub struct DeviceMemory {
    /// The memory.
    pub window: Window,
    /// The function's address of its first byte.
    pub physical: u64,
}

impl HostFunction {
    /// A double word of its configuration space.
    ///
    /// # Errors
    /// The kernel's, as of the others here.
    pub fn read(self, offset: u32) -> Result<u32, Status> {
        call(self.0, FunctionRead { offset, value: 0 }).map(|read| read.value)
    }

    /// Maps whole pages of a BAR.
    ///
    /// # Errors
    /// Exhausted: address space; or the kernel's.
    pub fn map(self, bar: u32, offset: u64, bytes: u64) -> Result<Window, Status> {
        let address = heap::reserve(bytes).ok_or(Status::Exhausted)?;
        // At addresses that were never used before: no pointer of this process's can lead into a device's
        // registers.
        call(self.0, FunctionMap { address, offset, bytes, bar, reserved: 0 })?;
        // SAFETY: just mapped, at addresses that nobody else is given; they stay mapped.
        Ok(unsafe { Window::new(address, bytes) })
    }

    /// Makes the message of an entry of its table signal an event.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bind(self, entry: u32, event: Event) -> Result<(), Status> {
        call(self.0, FunctionBind { entry, event: event.0 }).map(drop)
    }

    /// Lets it access memory and send messages, or stops it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn enable(self, enable: bool) -> Result<(), Status> {
        call(self.0, FunctionEnable { enable: u32::from(enable), reserved: 0 }).map(drop)
    }

    /// Gets memory that it may access: whole pages, at most 64 KiB.
    ///
    /// # Errors
    /// Exhausted: address space, or the kernel's memory for devices.
    pub fn allocate(self, bytes: u64) -> Result<DeviceMemory, Status> {
        let address = heap::reserve(bytes).ok_or(Status::Exhausted)?;
        let made = call(self.0, FunctionAllocate { address, bytes, physical: 0 })?;
        // SAFETY: as in `map`.
        Ok(DeviceMemory { window: unsafe { Window::new(address, bytes) }, physical: made.physical })
    }
}
