//! An NVMe controller (NVM Express 1.4) with one namespace, as a function of the PCI bus.
//!
//! [`Nvme`] is the function: configuration space, BAR and interrupts around a controller. Its disk is a
//! [`Backend`](devices::disk::Backend), the same that is behind a virtio disk. Each read and write becomes
//! one job of it, whose data are copied from guest memory when the job begins, and to it when the job is
//! done; so a reset has nothing to wait for, and what is done behind it is dropped.
//!
//! The guest writes queues and buffers while they are read: every command, and every entry of a PRP list, is
//! read once from guest memory, and checked then. A queue that is not in memory is a fatal error
//! (CSTS.CFS): the controller stops until it is reset. Everything else that a driver may do wrong ends that
//! command, with a status.
//!
//! An access does a bounded amount of work: what queues have, 255 commands each, as long as the back end has
//! room for jobs and the completion queue for entries.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod admin;
mod command;
mod controller;
mod events;
mod features;
mod function;
mod identify;
mod io;
mod logs;
mod prp;
mod queue;
mod registers;
pub mod spec;
mod task;

pub use controller::NvmeConfig;
pub use function::Nvme;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
