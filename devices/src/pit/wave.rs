//! The six modes as functions of the clocks elapsed since a count was loaded (datasheet, "Mode Definitions").

/// The OUT pin.
pub(super) fn output(mode: u8, gate: bool, reload: u64, elapsed: u64) -> bool {
    match mode {
        0 | 1 => elapsed >= reload,
        2 => !gate || elapsed % reload != reload - 1,
        // An odd count has the longer half high.
        3 => !gate || elapsed % reload < reload.div_ceil(2),
        _ => elapsed != reload,
    }
}

/// The counting element. Who shows it drops what is beyond `modulus`, the bits or digits that it has.
pub(super) fn value(mode: u8, modulus: u64, reload: u64, elapsed: u64) -> u64 {
    match mode {
        2 => reload - elapsed % reload,
        3 => {
            let (phase, high) = (elapsed % reload, reload.div_ceil(2));
            let half = if phase < high { phase } else { phase - high };
            // Counts by two; an odd count starts from one less and is at 0 for the last clock of the high
            // half.
            (reload & !1) - 2 * half
        }
        _ => reload + modulus - elapsed % modulus,
    }
}

/// The lowest four decimal digits.
pub(super) fn to_bcd(value: u64) -> u16 {
    (0..4).fold(0, |bcd, digit| bcd | ((value / 10_u64.pow(digit) % 10) << (4 * digit)) as u16)
}

pub(super) fn from_bcd(value: u16) -> u64 {
    (0..4).fold(0, |sum, digit| sum + u64::from(value >> (4 * digit) & 0xf) * 10_u64.pow(digit))
}
