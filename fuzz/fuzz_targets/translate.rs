//! Translations through any tables, with and without a cache.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| decoder_oracle::targets::translate(input));
