//! What a host of SEV-SNP replies to the kernel, and the pages of a launch.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vmm_kernel::host::targets::believe_host(input));
