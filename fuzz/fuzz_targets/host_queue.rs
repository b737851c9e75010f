//! What a device of the host's writes into a virtqueue.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::host_devices::queue(input));
