//! The process that knows the host's PCI bus: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

runtime::main!(host_pci::program);
