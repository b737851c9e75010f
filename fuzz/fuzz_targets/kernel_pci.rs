//! What the host's configuration space says to the kernel when a function is claimed.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vmm_kernel::host::targets::claim_function(input));
