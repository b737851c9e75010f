//! Page walks over any tables, compared with a walk written a second time.
#![no_main]

use arbitrary::Arbitrary;
use decoder_oracle::properties::{self, WalkInput};
use libfuzzer_sys::fuzz_target;

/// [`WalkInput`].
#[derive(Arbitrary, Debug)]
struct Input {
    control: [u64; 4],
    pkru: u32,
    physical_bits: u8,
    gigabyte_pages: bool,
    linear: u64,
    kind: u8,
    cpl: u8,
    ac: bool,
    implicit: bool,
    entries: [u64; 8],
}

fuzz_target!(|input: Input| {
    properties::check_walk(&WalkInput {
        control: input.control,
        pkru: input.pkru,
        physical_bits: input.physical_bits,
        gigabyte_pages: input.gigabyte_pages,
        linear: input.linear,
        kind: input.kind,
        cpl: input.cpl,
        ac: input.ac,
        implicit: input.implicit,
        entries: input.entries,
    });
});
