//! What the decoder is tested with.
//!
//! * [`TestMachine`]: a vCPU and its memory as plain arrays and maps;
//! * [`forms`]: the table of accepted forms in `docs/decoder.md`;
//! * [`full`]: a full decoder's opinion of what the decoder accepts;
//! * [`SmallMachine`]: a cheaper one, for fuzzing;
//! * [`properties`]: what must hold for any input, checked by tests and by fuzz targets;
//! * [`targets`]: the fuzz targets, which make inputs of bytes;
//! * [`cost`]: what is counted and timed;
//! * `native`: the processor itself, on Linux;
//! * [`random`]: numbers that are the same in every run;
//! * [`page_tables`]: guest page tables, built without the decoder's own definitions.

pub mod cost;
pub mod forms;
pub mod full;
mod machine;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod native;
pub mod page_tables;
pub mod properties;
pub mod random;
mod reference_walk;
mod registers;
mod small;
pub mod targets;

pub use machine::{DeviceAccess, TestMachine};
pub use small::{SMALL_BYTES, SmallMachine};
