//! An Intel 82574L network controller, as a function of the PCI bus: what guests without virtio drivers have
//! a driver for.
//!
//! One queue of each kind is carried out. The guest writes rings and buffers while they are read: each
//! descriptor is read once, and checked then. Memory that is none ends that frame, not the machine.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod function;
mod interrupts;
mod nic;
mod offload;
mod phy;
mod receive;
mod registers;
mod ring;
pub mod spec;
mod transmit;

pub use function::E1000e;

#[cfg(test)]
mod tests;
