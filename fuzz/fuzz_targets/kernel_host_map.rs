//! The host's memory map.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vmm_kernel::host::targets::parse_host_map(input));
