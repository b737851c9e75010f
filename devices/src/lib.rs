//! Device models and the dispatch of a guest's exits to them.
//!
//! Every device is a `spec` (registers as the datasheet names them), a pure core, and thin bus glue over the
//! traits in [`capability`]. Nothing here knows the kernel, a process or a platform: all of it runs and is
//! tested on the host.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod absent;
pub mod acpi;
pub mod acpi_entry;
pub mod apic;
pub mod boot;
pub mod bus;
pub mod capability;
pub mod control;
pub mod cpuid;
pub mod debugport;
pub mod disk;
pub mod egg_timer;
pub mod guest_memory;
pub mod hpet;
pub mod i8042;
pub mod ioapic;
pub mod msr;
pub mod network;
pub mod pci;
pub mod pic;
pub mod pit;
pub mod pm;
pub mod router;
pub mod rtc;
pub mod uart;

#[cfg(test)]
mod testing;
