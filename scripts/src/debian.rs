//! What comes from Debian's archive: guests' kernels and programs, as packages that are not installed.

pub mod apt;
pub mod kernel;
pub mod package;
pub mod tpm2_tools;
