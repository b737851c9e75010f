//! What a driver does with an NVMe controller: registers, queues, memory that changes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::nvme::run(input));
