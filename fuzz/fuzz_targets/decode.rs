//! Bytes to instructions, with a full decoder's opinion.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| decoder_oracle::targets::decode(input));
