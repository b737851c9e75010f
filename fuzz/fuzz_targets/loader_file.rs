//! IGVM files, as the loader reads and loads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::loader::file(input));
