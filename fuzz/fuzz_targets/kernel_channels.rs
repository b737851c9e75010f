//! Calls over channels, notifications and passed handles, against a model.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vmm_kernel::host::targets::use_channels(input));
