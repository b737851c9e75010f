//! What the host's configuration space says to the process that knows the bus.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::host_devices::scan(input));
