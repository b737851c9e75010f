//! Leaf 15h: the TSC's frequency as a ratio of small numbers.

/// A denominator (EAX) and numerator (EBX) so that `crystal_hz * numerator / denominator` is as near to
/// `tsc_hz` as can be.
///
/// Linux multiplies the numerator by the crystal's kHz in 32 bits (`native_calibrate_tsc`), so the numerator
/// is bounded by that and the true ratio (tsc : crystal) will not do. The smallest denominator with the least
/// error wins; at 3 GHz the error is below 3 parts in a million.
pub fn crystal_ratio(tsc_hz: u64, crystal_hz: u32) -> (u32, u32) {
    let crystal = u64::from(crystal_hz.max(1_000));
    let largest = u64::from(u32::MAX) / (crystal / 1_000);
    let mut best = (u64::MAX, 1, 1);
    // 4096 denominators are plenty; a TSC slower than the crystal would allow more.
    for denominator in 1..=4096u64 {
        // Half of the crystal is added, so that the division rounds to the nearest.
        let numerator = (u128::from(tsc_hz) * u128::from(denominator) + u128::from(crystal / 2))
            .checked_div(u128::from(crystal))
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(u64::MAX);
        if numerator > largest {
            break;
        }
        let made = numerator * crystal / denominator;
        let error = made.abs_diff(tsc_hz);
        if numerator > 0 && error < best.0 {
            best = (error, denominator, numerator);
        }
        if error == 0 {
            break;
        }
    }
    (best.1 as u32, best.2 as u32)
}
