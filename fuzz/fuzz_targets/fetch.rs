//! Fetches from any memory, with and without a cache.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| decoder_oracle::targets::fetch(input));
