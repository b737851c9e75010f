//! What a driver does with a virtio network device: registers, rings, headers, commands, memory that changes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::virtio_net::run(input));
