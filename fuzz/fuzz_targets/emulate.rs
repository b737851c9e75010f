//! Emulation from any state.
#![no_main]

use arbitrary::Arbitrary;
use decoder_oracle::properties::{self, EmulateInput};
use libfuzzer_sys::fuzz_target;

/// [`EmulateInput`], with the sizes of numbers spread.
#[derive(Arbitrary, Debug)]
struct Input {
    mode: u8,
    code: [u8; 15],
    gprs: [u64; 16],
    rip: u64,
    rflags: u32,
    cpl: u8,
    control: [u32; 3],
    segment: (u32, u32, u16),
    fill: [u64; 8],
}

/// Most numbers of 64 bits are no addresses: half of them become short.
fn spread(value: u64) -> u64 {
    match value >> 62 {
        0 => value & 0xffff,
        1 => value & 0xffff_ffff,
        _ => value,
    }
}

fuzz_target!(|input: Input| {
    properties::check_emulate(&EmulateInput {
        mode: input.mode,
        code: input.code,
        gprs: input.gprs.map(spread),
        rip: input.rip,
        rflags: input.rflags.into(),
        cpl: input.cpl,
        control: input.control.map(u64::from),
        segment: (input.segment.0.into(), input.segment.1, input.segment.2),
        fill: input.fill,
    });
});
