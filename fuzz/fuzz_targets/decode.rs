//! Bytes to instructions, with a full decoder's opinion.
#![no_main]

use decoder_oracle::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some((&mode, bytes)) = input.split_first() {
        properties::check_decode(bytes, properties::mode(mode));
    }
});
