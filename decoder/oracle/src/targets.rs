//! The fuzz targets: bytes to the inputs of [`properties`], for libFuzzer and for the smoke run (both in
//! `fuzz/`).

use crate::properties::{self, EmulateInput, FetchInput, WalkInput};
use arbitrary::{Arbitrary, Unstructured};

/// A name, and what is done with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 4] = [("decode", decode), ("emulate", emulate), ("fetch", fetch), ("walk", walk)];

/// Bytes to instructions, with a full decoder's opinion.
///
/// # Panics
/// If a property doesn't hold, like the others.
pub fn decode(input: &[u8]) {
    if let Some((&selector, bytes)) = input.split_first() {
        properties::check_decode(bytes, properties::mode(selector), properties::processor(selector));
    }
}

/// Emulation from any state.
///
/// # Panics
/// If a property doesn't hold.
pub fn emulate(input: &[u8]) {
    if let Some(mut input) = parse::<EmulateInput>(input) {
        input.gprs = input.gprs.map(spread);
        properties::check_emulate(&input);
    }
}

/// Fetches from any memory, compared with a fetch written a second time.
///
/// # Panics
/// If a property doesn't hold.
pub fn fetch(input: &[u8]) {
    if let Some(mut input) = parse::<FetchInput>(input) {
        input.rip = spread(input.rip);
        properties::check_fetch(&input);
    }
}

/// Page walks over any tables, compared with a walk written a second time.
///
/// # Panics
/// If a property doesn't hold.
pub fn walk(input: &[u8]) {
    if let Some(input) = parse::<WalkInput>(input) {
        properties::check_walk(&input);
    }
}

/// An input, unless there are too few bytes for one.
fn parse<'a, T: Arbitrary<'a>>(input: &'a [u8]) -> Option<T> {
    // What is missing would be zeros: inputs that are all alike.
    let is_enough = input.len() >= T::size_hint(0).0;
    is_enough.then(|| T::arbitrary_take_rest(Unstructured::new(input)).ok()).flatten()
}

/// Most numbers of 64 bits are no addresses: half of them become short.
fn spread(value: u64) -> u64 {
    match value >> 62 {
        0 => value & 0xffff,
        1 => value & 0xffff_ffff,
        _ => value,
    }
}
