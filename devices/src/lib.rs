//! Device models and the dispatch of a guest's exits to them.
//!
//! Every device is a `spec` (registers as the datasheet names them), a pure core, and thin bus glue over the traits in
//! [`capability`]. Nothing here knows the kernel, a process or a platform: all of it runs and is tested on the host.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod apic;
pub mod capability;
pub mod hpet;
pub mod ioapic;
pub mod pic;
pub mod pit;
pub mod router;
