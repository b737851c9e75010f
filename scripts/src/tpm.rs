//! The TPM on the host, and what tests it.

pub mod compare;
pub mod server;
pub mod suite;
pub mod tools;
