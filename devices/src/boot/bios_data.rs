//! What firmware leaves at address 0: the real-mode interrupt vectors and the BIOS data area.
//!
//! There is no firmware here, and the area says so, whatever the host's own firmware left in this memory: no
//! vectors, no devices, no extended area. Kernels that need memory below 640 KiB ask it how much
//! there is, though they were told another way too (Xen does, and writes to address -1 if there is none).

use alloc::vec;
use core::ops::Range;

use super::memory_map::{is_ram, usable_from};
use super::{MemoryRange, Placement, bytes_at};

/// Vectors, and behind them the area.
const BYTES: u64 = 0x500;
/// The size of memory from 0 on, up to the first gap, in KiB (16 bits).
const BASE_MEMORY_KIB: usize = 0x413;
/// The most it can be.
const BASE_MEMORY_KIB_MAX: u64 = 640;

/// The area, where there is RAM for it that the kernel does not take.
pub(super) fn placement(memory: &[MemoryRange], kernel: &Range<u64>) -> Option<Placement> {
    if !is_ram(memory, 0, BYTES) || kernel.start < BYTES {
        return None;
    }
    let kib = (usable_from(memory, 0) >> 10).min(BASE_MEMORY_KIB_MAX) as u16;
    let mut bytes = vec![0; BYTES as usize];
    for (to, from) in bytes.iter_mut().skip(BASE_MEMORY_KIB).zip(kib.to_le_bytes()) {
        *to = from;
    }
    Some(bytes_at(0, bytes))
}

#[cfg(test)]
mod tests {
    use super::super::{Source, pc_memory_map};
    use super::*;

    #[test]
    fn it_says_how_much_base_memory_there_is_and_nothing_else() {
        let map = pc_memory_map(64 << 20, 0);
        let Some(Placement { gpa: 0, source: Source::Bytes(bytes) }) = placement(&map, &(1 << 20..2 << 20))
        else {
            panic!("no bytes at 0")
        };
        let end = map.iter().find(|range| range.gpa == 0).unwrap().bytes;
        assert_eq!(u64::from(bytes[0x413]) | u64::from(bytes[0x414]) << 8, end >> 10);
        let others =
            bytes.iter().enumerate().filter(|(at, byte)| !(0x413..0x415).contains(at) && **byte != 0);
        assert_eq!((bytes.len(), others.count()), (0x500, 0));
    }

    #[test]
    fn it_is_not_put_over_a_kernel_nor_where_no_memory_is() {
        let map = pc_memory_map(64 << 20, 0);
        assert_eq!(placement(&map, &(0x4ff..0x1000)), None);
        assert!(placement(&map, &(0x500..0x1000)).is_some());
        assert_eq!(placement(&map[1..], &(1 << 20..2 << 20)), None);
    }
}
