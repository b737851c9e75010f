//! Operations of a batch, as the kernel reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::abi::operation(input));
