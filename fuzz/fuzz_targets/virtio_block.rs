//! What a driver does with a virtio block device: registers, rings, memory that changes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::virtio::block(input));
