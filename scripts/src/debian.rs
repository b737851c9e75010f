//! What comes from Debian's archive: guests' kernels and busybox, as packages that are not installed.

pub mod apt;
pub mod kernel;
pub mod package;
