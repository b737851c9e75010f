//! A device in a process of its own: see `vmm::device_host`.
#![cfg_attr(target_os = "none", no_std, no_main)]

runtime::main!(vmm::device_host::program);
