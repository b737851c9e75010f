//! The process: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

runtime::main!(snp_test::program);
