//! What software does with the TPM's commands, and when the power goes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::tpm::execute::run(input));
