//! Placeholder until the first module lands.
#![no_std]
#![forbid(unsafe_code)]
