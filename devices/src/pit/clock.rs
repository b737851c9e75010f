//! Between nanoseconds and clocks of the 8254, exact at any time: neither direction accumulates an error.

/// The 8254's input clock in Hz.
pub const PIT_HZ: u64 = 1_193_182;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// The clocks completed by `ns`.
pub(super) fn clocks_of(ns: u64) -> u64 {
    // In two parts, so that no product is beyond 64 bits.
    let (seconds, rest) = (ns / NS_PER_SECOND, ns % NS_PER_SECOND);
    seconds * PIT_HZ + rest * PIT_HZ / NS_PER_SECOND
}

/// The first nanosecond by which `clocks` are completed.
pub(super) fn ns_of(clocks: u64) -> u64 {
    let (seconds, rest) = (clocks / PIT_HZ, clocks % PIT_HZ);
    seconds.saturating_mul(NS_PER_SECOND).saturating_add((rest * NS_PER_SECOND).div_ceil(PIT_HZ))
}
