//! Requests of several clients for files.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::ram_files(input));
