//! XSAVE areas that a process wrote.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vmm_kernel::host::targets::merge_xsave(input));
