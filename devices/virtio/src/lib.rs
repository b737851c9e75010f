//! Virtio devices (Virtual I/O Device 1.2) as functions of the PCI bus.
//!
//! [`pci::VirtioPci`] is the transport: a PCI function around a [`device::VirtioDevice`]. [`queue`] has the
//! rings, split and packed. Each device is a module, and does its work through a trait of its own for what is
//! behind it: [`blk::Disk`], [`rng::Entropy`], [`console::Terminal`], [`net::Link`].
//!
//! The guest writes rings and buffers while they are read: every value is read once from guest memory, and
//! checked then. A ring that a driver must not make is no error of ours: the device stops, says
//! DEVICE_NEEDS_RESET, and is as new after the reset.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod blk;
pub mod console;
pub mod device;
pub mod net;
pub mod pci;
pub mod queue;
pub mod rng;

#[cfg(test)]
mod testing;
