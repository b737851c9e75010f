//! More memory for this process than processes have by their budget: a piece of memory for guests. An RMP has
//! an entry for each page of a guest, and the guest's image is a file that is read whole.
#![allow(unsafe_code, reason = "memory for guests becomes this process' own")]

use runtime::heap;
use vmm::guest_memory::{GuestRam, Range};

/// How much: for an image of up to 32 MiB, and the RMP and nested tables of a guest with 1 GiB. Wherever a
/// piece of this size begins, the allocator finds an aligned block of half its size in it.
const BYTES: u64 = 64 << 20;
/// What it is aligned to.
const ALIGNMENT: u64 = 2 << 20;

/// The first byte of the last piece that there could be.
fn place(ranges: &[Range]) -> Option<u64> {
    let fits = |range: &Range| {
        let end = range.gpa.checked_add(range.bytes)? & !(ALIGNMENT - 1);
        end.checked_sub(BYTES).filter(|start| *start >= range.gpa)
    };
    ranges.iter().rev().find_map(fits)
}

/// Takes a piece out of memory for guests, and gives it to this process' allocator. `None` if there is none.
pub fn enlarge(ram: &mut GuestRam) -> Option<()> {
    let piece = ram.take(place(ram.ranges())?, BYTES)?;
    let Range { gpa, bytes } = *piece.ranges().first()?;
    let address = piece.address(gpa, bytes)?;
    // SAFETY: it is mapped for the life of the process, and no longer among what guests are given; the other
    // processes of this image have no memory for guests.
    unsafe { heap::give(address, bytes) };
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_piece_is_the_last_that_fits() {
        const MIB: u64 = 1 << 20;
        let range = |gpa, bytes| Range { gpa: gpa * MIB, bytes: bytes * MIB };
        for (ranges, expected) in [
            (&[range(0, 100), range(200, 77)][..], Some(212 * MIB)),
            (&[range(0, 100), range(200, 63)], Some(36 * MIB)),
            (&[range(1, 64)], None),
            (&[range(2, 64)], Some(2 * MIB)),
            (&[], None),
        ] {
            assert_eq!(place(ranges), expected, "{ranges:?}");
        }
    }
}
