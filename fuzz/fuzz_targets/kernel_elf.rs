//! Programs, loaded into a process.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vmm_kernel::host::targets::load_elf(input));
