//! What comes from Debian's archive: guests' kernels and programs, as packages that are not installed, and
//! the disk of a guest on which they are.

pub mod apt;
pub mod disk;
pub mod kernel;
pub mod ovmf;
pub mod package;
pub mod tpm2_tools;
