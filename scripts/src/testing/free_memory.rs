//! What a machine's free memory says of it, counted again and again.

/// How much less is free in the second half, of what there is at most: some is still on its way back when it
/// is counted. The unit is the one of what is given.
pub fn lost(free: &[u64]) -> u64 {
    let (first, second) = free.split_at(free.len() / 2);
    let most = |half: &[u64]| half.iter().copied().max().unwrap_or(0);
    most(first).saturating_sub(most(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_seen() {
        assert_eq!(lost(&[9380, 9380, 7580, 9380, 9380]), 0);
        assert_eq!(lost(&[9380, 7580, 9380, 9380, 7580]), 0);
        assert_eq!(lost(&[9380, 9376, 9372, 9368, 9364]), 8);
        assert_eq!((lost(&[]), lost(&[9400])), (0, 0));
    }
}
