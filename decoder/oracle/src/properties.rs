//! What must hold for any input at all. Fuzz targets and tests call these; each panics if it doesn't hold.

mod emulate;
mod fetch;
mod walk;

pub use emulate::{EmulateInput, check_emulate};
pub use fetch::{FetchInput, check_fetch};
pub use walk::{AccessInput, PagingInput, WalkInput, check_walk};

use crate::full;
use crate::small::SMALL_BYTES;
use decoder::walk::Paging;
use decoder::{Mode, Processor, Rejection, Vendor};

/// 16, 32 or 64 bits, by `selector`.
pub fn mode(selector: u8) -> Mode {
    [Mode::Bits16, Mode::Bits32, Mode::Bits64][usize::from(selector % 3)]
}

/// A processor of either maker that has everything, by bit 6 of the same `selector`.
pub fn processor(selector: u8) -> Processor {
    Processor::full(if selector & 0x40 != 0 { Vendor::Amd } else { Vendor::Intel })
}

/// EFER for [`mode`] of the same `selector`: other code is also run in long mode (bit 7).
fn efer(selector: u8) -> u64 {
    if mode(selector) == Mode::Bits64 || selector & 0x80 != 0 { 0xd01 } else { 0x800 }
}

/// Registers for [`mode`] of the same `selector`, with CR0, CR3 and CR4 as given.
fn paging([cr0, cr3, cr4]: [u32; 3], selector: u8) -> Paging {
    Paging {
        cr0: cr0.into(),
        cr3: cr3.into(),
        cr4: cr4.into(),
        efer: efer(selector),
        pkru: 0,
        physical_bits: 40,
        gigabyte_pages: true,
    }
}

/// What is accepted is what a full decoder reads; more bytes make no difference, fewer are too few. What is
/// rejected is rejected for the same reason as soon as there are enough bytes.
///
/// # Panics
/// If that is not so.
pub fn check_decode(bytes: &[u8], mode: Mode, processor: Processor) {
    match decoder::decode(bytes, mode, processor) {
        Ok(ours) => {
            let difference = full::difference(&ours, bytes);
            assert_eq!(difference, None, "{ours:?}\n{:?}", full::decode(bytes, mode));
            let (exact, _) = bytes.split_at(usize::from(ours.length));
            assert_eq!(decoder::decode(exact, mode, processor), Ok(ours));
            // Not one byte less is enough: no more are looked at than it has.
            let shorter = &exact[..exact.len() - 1];
            assert_eq!(decoder::decode(shorter, mode, processor), Err(Rejection::Truncated));
        }
        // Fifteen bytes are as many as there can be.
        Err(Rejection::Truncated) => assert!(bytes.len() < 15),
        Err(rejection) => {
            // With a byte less there is the same reason already, or not yet any.
            let shorter = bytes.split_last().map_or(bytes, |(_, rest)| rest);
            let earlier = decoder::decode(shorter, mode, processor);
            assert!(
                earlier == Err(rejection) || earlier == Err(Rejection::Truncated),
                "{earlier:?} {rejection:?}"
            );
        }
    }
}

/// Memory in large pieces, which are compared faster than bytes.
fn words(ram: &[u8; SMALL_BYTES]) -> impl Iterator<Item = u128> {
    ram.as_chunks().0.iter().map(|&bytes| u128::from_le_bytes(bytes))
}

/// Whether accessed and dirty bits have been set, and nothing else.
fn only_marks_added(before: &[u8; SMALL_BYTES], after: &[u8; SMALL_BYTES]) -> bool {
    const MARKS: u128 = u128::from_le_bytes([0x60; 16]);
    words(before).zip(words(after)).all(|(old, new)| old & new == old && (new ^ old) & !MARKS == 0)
}

/// How many dirty bits differ, if only marks do.
fn dirty_bits_added(before: &[u8; SMALL_BYTES], after: &[u8; SMALL_BYTES]) -> u32 {
    const DIRTY: u128 = u128::from_le_bytes([0x40; 16]);
    words(before).zip(words(after)).map(|(old, new)| ((new ^ old) & DIRTY).count_ones()).sum()
}
