//! The processes that test files: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

runtime::main!(file_test::program);
