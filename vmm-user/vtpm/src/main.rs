//! The guest's TPM 2.0: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

runtime::main!(vtpm::program);
