//! The virtual machine monitor whose exits are looked at: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

runtime::main!(watched_vmm::program);
