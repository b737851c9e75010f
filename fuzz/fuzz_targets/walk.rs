//! Page walks over any tables, compared with a walk written a second time.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| decoder_oracle::targets::walk(input));
