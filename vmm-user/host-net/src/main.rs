//! The process that drives a network device of the host's: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

runtime::main!(host_net::program);
