//! Fetches from any memory, compared with a fetch written a second time.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| decoder_oracle::targets::fetch(input));
