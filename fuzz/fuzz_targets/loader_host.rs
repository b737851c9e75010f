//! What a host tells the loader: start information, memory map, ACPI tables.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::loader::host(input));
