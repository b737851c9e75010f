//! Answers of a device in a process of its own, as the VMM reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::device_link::answer(input));
