use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::testing::Ram;

/// The list at `LIST`, near the end of its page, so that it goes on in another one.
const LIST: u64 = 0x2ff0;

/// PRP entries, how many bytes, and where these are.
type Case<'a> = ([u64; 2], usize, &'a [(u64, usize)]);

fn list(ram: &Ram, at: u64, entries: &[u64]) {
    for (index, entry) in entries.iter().enumerate() {
        ram.put(at + 8 * index as u64, &entry.to_le_bytes());
    }
}

fn parts(ram: &Ram, prps: [u64; 2], bytes: usize) -> Result<Vec<(u64, usize)>, Status> {
    Buffer::new(ram, prps, bytes).map(|buffer| buffer.parts().collect())
}

#[test]
fn entries_and_lists() {
    let ram = Ram::default();
    list(&ram, 0x4000, &[0x1_1000, 0x1_3000]);
    list(&ram, LIST, &[0x1_1000, 0x6000]);
    list(&ram, 0x6000, &[0x1_3000, 0x1_4000]);
    // A list of one entry that leads on at once.
    list(&ram, 0x7ff8, &[0x4000]);
    let cases: [Case<'_>; 9] = [
        ([0x1000, 0], 512, &[(0x1000, 512)]),
        ([0x1000, 0x123], 4096, &[(0x1000, 4096)]),
        ([0x1e00, 0x123], 512, &[(0x1e00, 512)]),
        ([0x1ffc, 0x5000], 512, &[(0x1ffc, 4), (0x5000, 508)]),
        ([0x1000, 0x5000], 8192, &[(0x1000, 4096), (0x5000, 4096)]),
        ([0x1800, 0x4000], 8192, &[(0x1800, 2048), (0x1_1000, 4096), (0x1_3000, 2048)]),
        ([0x1000, 0x4000], 12288, &[(0x1000, 4096), (0x1_1000, 4096), (0x1_3000, 4096)]),
        ([0x1000, LIST], 16384, &[(0x1000, 4096), (0x1_1000, 4096), (0x1_3000, 4096), (0x1_4000, 4096)]),
        ([0x1000, 0x7ff8], 12288, &[(0x1000, 4096), (0x1_1000, 4096), (0x1_3000, 4096)]),
    ];
    for (prps, bytes, expected) in cases {
        assert_eq!(parts(&ram, prps, bytes).as_deref(), Ok(expected), "{prps:x?} {bytes}");
    }
}

#[test]
fn the_most_bytes_at_any_offset() {
    let ram = Ram::default();
    let entries: Vec<u64> = (0..16).map(|page| 0x2_0000 + 0x1000 * page).collect();
    list(&ram, 0x4000, &entries);
    for offset in [0, 4, 0xffc] {
        let parts = parts(&ram, [0x1_0000 + offset, 0x4000], BUFFER_BYTES).unwrap();
        assert_eq!(parts.iter().map(|(_, part)| part).sum::<usize>(), BUFFER_BYTES);
        assert_eq!(parts.len(), if offset == 0 { 16 } else { 17 });
    }
    assert_eq!(parts(&ram, [0x1_0000, 0x4000], BUFFER_BYTES + 1), Err(Status::INVALID_FIELD));
}

#[test]
fn what_is_no_entry() {
    let ram = Ram::default();
    list(&ram, 0x4000, &[0x1_1000, 0x1_3004]);
    list(&ram, LIST, &[0x1_1000, 0x6008]);
    list(&ram, 0x6008, &[0x1_3000, 0x1_4000]);
    let (offset, transfer) = (Status::INVALID_PRP_OFFSET, Status::DATA_TRANSFER);
    for (prps, bytes, status) in [
        ([0x1002, 0], 512, offset),
        ([0x1001, 0], 512, offset),
        ([0x1ffc, 0x5004], 512, offset),
        ([0x1000, 0x5200], 8192, offset),
        ([0x1000, 0x4004], 12288, offset),
        ([0x1000, 0x4000], 12288, offset),
        ([0x1000, LIST], 16384, offset),
        ([0x1000, 1 << 40], 12288, transfer),
        ([0x1000, 0xffff_ffff_ffff_fff8], 16384, transfer),
        ([0x1000, 0xffff_ffff_ffff_fff8], 12288, transfer),
    ] {
        assert_eq!(parts(&ram, prps, bytes), Err(status), "{prps:x?} {bytes}");
    }
}

#[test]
fn bytes_go_to_their_pages_and_come_from_there() {
    let ram = Ram::default();
    let buffer = Buffer::new(&ram, [0x1ffc, 0x5000], 512).unwrap();
    let bytes: Vec<u8> = (0..512).map(|at| at as u8).collect();
    assert_eq!(buffer.write(&ram, &bytes), Ok(()));
    assert_eq!((ram.copy(0x1ffc, 4), ram.copy(0x5000, 508)), (bytes[..4].to_vec(), bytes[4..].to_vec()));
    assert_eq!(ram.copy(0x2000, 4), [0xee; 4]);
    let mut read = vec![0; 512];
    assert_eq!(buffer.read(&ram, &mut read), Ok(()));
    assert_eq!(read, bytes);
    for prps in [[1 << 40, 0], [0x1ffc, 1 << 40], [u64::MAX - 3, !0xfff]] {
        let buffer = Buffer::new(&ram, prps, 512).unwrap();
        assert_eq!(buffer.write(&ram, &bytes), Err(Status::DATA_TRANSFER));
        assert_eq!(buffer.read(&ram, &mut read), Err(Status::DATA_TRANSFER));
    }
}
