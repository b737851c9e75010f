//! The process that serves files: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

runtime::main!(ram_files::program);
