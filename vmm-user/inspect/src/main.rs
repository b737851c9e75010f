//! The live view's process: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

runtime::main!(inspect::program);
