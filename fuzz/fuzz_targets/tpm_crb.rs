//! What software does with the TPM's command response buffer: any register, any locality.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::tpm::crb(input));
