//! The ABI between Plinth's kernel and its processes, and between the image builder and the kernel.
//!
//! A leaf: it knows neither side. Every structure has fixed-width fields, explicit padding and asserts beside
//! it, no `bool` and no `usize`; all but the run page (which two parties share) convert from and to bytes
//! without copying.
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod exit;
pub mod message;
pub mod operation;
pub mod process_record;
pub mod registers;
pub mod run_page;
pub mod status;
pub mod syscall;
pub mod xcr0;

#[cfg(test)]
mod tests;

/// Version of this ABI: changed when anything above changes its meaning.
pub const ABI_VERSION: u32 = 1;
