//! The first process: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

runtime::main!(init::program);
