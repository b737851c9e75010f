//! Emulation from any state.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| decoder_oracle::targets::emulate(input));
