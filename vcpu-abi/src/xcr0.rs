//! XCR0: which states a guest may enable, by one rule for the kernel, which loads it, and for the VMM, which
//! carries out XSETBV.

use crate::run_page::XSAVE_BYTES;
use crate::run_page::xsave::{AVX, HEADER_END, SSE, X87};

/// MPX: bounds registers and their configuration.
const MPX: u64 = 0b11 << 3;
/// AVX-512: mask registers, upper halves of ZMM0 to ZMM15, ZMM16 to ZMM31.
const AVX_512: u64 = 0b111 << 5;
/// AMX: tile configuration and tiles.
const AMX: u64 = 0b11 << 17;
/// States that are enabled together or not at all (SDM volume 1, 13.3; APM volume 2, 11.5.2).
const WHOLE: [u64; 3] = [MPX, AVX_512, AMX];

/// Whether XSETBV takes a value on a processor that offers these states.
pub fn is_valid(value: u64, offered: u64) -> bool {
    let has = |states: u64| value & states == states;
    let none = |states: u64| value & states == 0;
    has(X87)
        && none(!offered)
        // Upper halves without the lower ones make XSETBV fault (SDM volume 1, 13.3).
        && (has(SSE) || none(AVX))
        && (has(AVX) || none(AVX_512))
        && WHOLE.into_iter().all(|states| has(states) || none(states))
}

/// The states that a processor has and for which the run page has room, in the standard form. `leaf`: what
/// CPUID says of leaf 0Dh, by subleaf, as EAX, EBX, ECX, EDX.
pub fn states_that_fit(leaf: impl Fn(u32) -> [u32; 4]) -> u64 {
    let [low, _, _, high] = leaf(0);
    let all = u64::from(high) << 32 | u64::from(low);
    let fits = |state: u32| {
        let [bytes, offset, ..] = leaf(state);
        let end = u64::from(bytes) + u64::from(offset);
        // A host that places a state over the registers of x87 and SSE would have two states share their
        // bytes.
        bytes != 0 && offset as usize >= HEADER_END && end <= XSAVE_BYTES as u64
    };
    // Bit 63 is no state: processors reserve it.
    // The first two lie in the legacy area, at places that no leaf describes.
    let extended = (2..63).filter(|state| all & 1 << state != 0 && fits(*state));
    // Not asked for x87: whoever has XSAVE has that, and XCR0 without it is never valid.
    let states = extended.fold(X87 | all & SSE, |states, state| states | 1 << state);
    // A part of what goes together is of no use.
    WHOLE
        .into_iter()
        .fold(states, |states, whole| if states & whole == whole { states } else { states & !whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let everything = u64::MAX >> 1;
        for (value, offered, valid) in [
            (1, 7, true),
            (3, 7, true),
            (7, 7, true),
            (0, 7, false),
            (2, 7, false),
            (6, 7, false),
            (5, 7, false),
            (7, 3, false),
            (0x1f, everything, true),
            (0xf, everything, false),
            (0x17, everything, false),
            (0xe7, everything, true),
            (0xe3, everything, false),
            (0x27, everything, false),
            (0x67, everything, false),
            (0xa7, everything, false),
            (0xe7, 0x67, false),
            (0x203, everything, true),
            (0x6_0003, everything, true),
            (0x2_0003, everything, false),
            (0x8000_0000_0000_0007, everything, false),
        ] {
            assert_eq!(is_valid(value, offered), valid, "{value:#x} of {offered:#x}");
        }
    }

    /// What real processors say: (state, bytes, offset).
    const AVX_AREA: (u32, u32, u32) = (2, 256, 576);
    const INTEL: [(u32, u32, u32); 5] =
        [AVX_AREA, (5, 64, 1088), (6, 512, 1152), (7, 1024, 1664), (9, 8, 2688)];
    const AMD: [(u32, u32, u32); 5] = [AVX_AREA, (5, 64, 832), (6, 512, 896), (7, 1024, 1408), (9, 8, 2432)];
    const TILES: [(u32, u32, u32); 2] = [(17, 64, 2752), (18, 8192, 2816)];

    fn fit(areas: &[(u32, u32, u32)], offered: u64) -> u64 {
        states_that_fit(|subleaf| match areas.iter().find(|area| area.0 == subleaf) {
            _ if subleaf == 0 => [offered as u32, 0, 11008, (offered >> 32) as u32],
            Some(&(_, bytes, offset)) => [bytes, offset, 0, 0],
            None => [0; 4],
        })
    }

    #[test]
    fn each_state_by_itself() {
        assert_eq!(fit(&INTEL, 0x2e7), 0x2e7);
        assert_eq!(fit(&AMD, 0x2e7), 0x2e7);
        // Tiles have no room, and do not take the room of others.
        assert_eq!(fit(&[&INTEL[..], &TILES[..]].concat(), 0x6_02e7), 0x2e7);
        // States from 32 up are in EDX.
        assert_eq!(fit(&[AVX_AREA, (40, 64, 832)], 1 << 40 | 7), 1 << 40 | 7);
        assert_eq!(fit(&INTEL, 7), 7);
        assert_eq!(fit(&[], 3), 3);
    }

    #[test]
    fn hosts_that_lie() {
        assert_eq!(fit(&[], u64::MAX), 3);
        assert_eq!(fit(&[(2, 256, 0)], 7), 3, "in the legacy area");
        assert_eq!(fit(&[(2, 256, 575)], 7), 3);
        assert_eq!(fit(&[(2, u32::MAX, u32::MAX)], 7), 3);
        assert_eq!(fit(&[(2, 256, 3072 - 255)], 7), 3);
        assert_eq!(fit(&[(2, 256, 3072 - 256)], 7), 7);
        // Two of three.
        assert_eq!(fit(&[AVX_AREA, INTEL[1], INTEL[2], (7, 1024, 2100)], 0xe7), 7);
    }
}
