//! The process that tests a disk: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

runtime::main!(block_test::program);
