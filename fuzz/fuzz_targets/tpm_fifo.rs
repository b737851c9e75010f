//! What software does with the TPM's FIFO: any register, any locality.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::tpm::fifo(input));
