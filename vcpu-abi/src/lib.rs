//! The ABI between Plinth's kernel and its processes, and between the image builder and the kernel.
//!
//! A leaf: it knows neither side. Every structure has fixed-width fields, explicit padding and asserts beside it, no
//! `bool` and no `usize`; every one converts from and to bytes without copying (zerocopy).
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
