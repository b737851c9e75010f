//! Where the BARs of a function go: into the window that the kernel allows, on nothing that decodes there.

/// What the kernel allows (docs/abi.md, PciClaim).
pub const WINDOW: core::ops::Range<u32> = 0xf000_0000..0xfec0_0000;
const PAGE: u32 = 4096;
/// Stands for a BAR that cannot be placed.
const UNPLACEABLE: u32 = u32::MAX;

/// The first place from `from` on for so many bytes, which none of `taken` (first and last byte) touches.
fn first_fit(from: u32, bytes: u32, taken: &[(u32, u32)]) -> Option<u32> {
    // A BAR decodes at multiples of its size only (PCI local bus specification 3.0, 6.2.5.1).
    let align = |at: u32| at.checked_next_multiple_of(bytes);
    let mut start = align(from.max(WINDOW.start))?;
    // Each step goes past one of them at least.
    for _ in 0..=taken.len() {
        let last = start.checked_add(bytes - 1)?;
        if last >= WINDOW.end {
            return None;
        }
        let Some((_, end)) = taken.iter().find(|(first, end)| *first <= last && start <= *end) else {
            return Some(start);
        };
        start = align(end.checked_add(1)?)?;
    }
    None
}

/// Places for BARs of these sizes from an address on, each in pages of its own: 0 for those without a size.
/// `None`: there is not enough room, or one of them fits nowhere.
pub fn choose(from: u32, sizes: [u32; 6], taken: &[(u32, u32)]) -> Option<[u32; 6]> {
    let mut places = [0; 6];
    let mut next = from;
    for (place, bytes) in places.iter_mut().zip(sizes).filter(|(_, bytes)| *bytes != 0) {
        if bytes == UNPLACEABLE || !bytes.is_power_of_two() {
            return None;
        }
        // The kernel maps whole pages for the driver: nothing of another function may lie in them.
        let bytes = bytes.max(PAGE);
        *place = first_fit(next, bytes, taken)?;
        // Behind the one before: BARs of one function do not share pages either.
        next = place.checked_add(bytes)?;
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u32 = WINDOW.start;

    #[test]
    fn one_behind_the_other_past_what_is_taken() {
        assert_eq!(choose(0, [0; 6], &[]), Some([0; 6]));
        assert_eq!(
            choose(0, [0, 0x1000, 0, 0, 0x4000, 0x20], &[]),
            Some([0, START, 0, 0, START + 0x4000, START + 0x8000])
        );
        let taken = [(START + 0x4000, START + 0x4fff), (START, START + 0x7ff), (START + 0x9fff, u32::MAX)];
        assert_eq!(
            choose(0, [0x1000, 0x1000, 0x1000, 0, 0, 0], &taken),
            Some([START + 0x1000, START + 0x2000, START + 0x3000, 0, 0, 0])
        );
        assert_eq!(choose(0, [0x4000, 0, 0, 0, 0, 0], &taken), None);
        assert_eq!(choose(0, [0x2000, 0, 0, 0, 0, 0], &taken[..1]), Some([START, 0, 0, 0, 0, 0]));
        assert_eq!(
            choose(START + 0x1000, [0x4000, 0, 0, 0, 0, 0], &taken[..1]),
            Some([START + 0x8000, 0, 0, 0, 0, 0])
        );
    }

    #[test]
    fn what_fits_nowhere() {
        for bytes in [UNPLACEABLE, 3, 0x1000_0000, 0x8000_0000] {
            assert_eq!(choose(0, [bytes, 0, 0, 0, 0, 0], &[]), None, "{bytes:#x}");
        }
        assert!(choose(WINDOW.end - 0x1000, [0x1000, 0, 0, 0, 0, 0], &[]).is_some());
        assert!(choose(WINDOW.end - 0x1000, [0x2000, 0, 0, 0, 0, 0], &[]).is_none());
        assert!(choose(u32::MAX, [0x1000, 0, 0, 0, 0, 0], &[]).is_none());
        assert!(choose(0, [0x1000, 0, 0, 0, 0, 0], &[(0, u32::MAX)]).is_none());
    }

    #[test]
    fn whatever_is_taken_places_are_in_the_window_and_apart() {
        let mut seed = 1u64;
        let mut random = move || {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (seed >> 33) as u32
        };
        let mut placed = 0;
        for _ in 0..20_000 {
            let taken: [(u32, u32); 4] = core::array::from_fn(|_| {
                let first = START + random() % 0x200_0000;
                (first, first.saturating_add(random() % 0x100_0000))
            });
            let sizes: [u32; 6] = core::array::from_fn(|_| match random() % 3 {
                0 => 0,
                1 => 1 << (random() % 26),
                _ => random(),
            });
            let Some(places) = choose(0, sizes, &taken) else { continue };
            placed += 1;
            let there = places.iter().zip(sizes).filter(|(_, bytes)| *bytes != 0);
            let mut ranges: alloc::vec::Vec<_> =
                there.map(|(place, bytes)| (*place, *place + (bytes.max(PAGE) - 1))).collect();
            ranges.iter().for_each(|(first, last)| {
                assert!(WINDOW.contains(first) && WINDOW.contains(last));
                assert!(!taken.iter().any(|(other, end)| other <= last && first <= end));
            });
            ranges.sort_unstable();
            assert!(ranges.windows(2).all(|two| two[0].1 < two[1].0));
        }
        assert!(placed > 100, "only {placed} had room");
    }
}
