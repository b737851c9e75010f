//! What an IGVM loader has to know, apart from the machine it runs on.
//!
//! An IGVM file is a list of *directives*: put this page there, fill this *parameter area* with what only the
//! host knows, start the processor in this *context*. Here they are parsed and checked ([`file`](mod@file)),
//! compared with the memory there is ([`survey`]) and carried out over a small memory trait ([`load`]). The
//! program beside this library (`main.rs`) gives it a bare machine that was entered by the PVH protocol;
//! `igvm-tools` gives it none and only reads.
//!
//! Every input is hostile: the file, the memory map, the ACPI tables. None of them makes this library panic,
//! read outside what it was given, or write outside the extents it has checked.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod testing;

pub mod acpi;
pub mod context;
pub mod crc32;
pub mod extents;
pub mod file;
pub mod hvm;
pub mod load;
pub mod memory;
pub mod memory_map;
pub mod parameters;
pub mod survey;
pub mod walk;

/// Bytes in a page: the unit of IGVM page data.
pub const PAGE_BYTES: u64 = 4096;
