//! Memory of processes and of a guest, mapped and taken back, against a model.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vmm_kernel::host::targets::use_mappings(input));
