//! What the decoder is tested with.
//!
//! * [`TestMachine`]: a vCPU and its memory as plain arrays and maps;
//! * [`page_tables`]: guest page tables, built without the decoder's own definitions.

mod machine;
pub mod page_tables;

pub use machine::{DeviceAccess, TestMachine};
