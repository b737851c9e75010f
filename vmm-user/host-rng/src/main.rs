//! The process that drives an entropy device of the host's: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

runtime::main!(host_rng::program);
