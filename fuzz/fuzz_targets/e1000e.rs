//! What a driver does with an 82574L: registers, rings, memory that changes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::e1000e::run(input));
