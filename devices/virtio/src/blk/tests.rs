mod later;

use alloc::vec;

use super::spec::{kind, status};
use super::*;
use crate::pci::spec as pci;
use crate::testing::{Machine, formats, random};
use devices::capability::Width;
use devices::disk::{AtOnce, Disk};
use devices::pci::PciFunction;

/// A disk in memory, which notes what else is asked of it.
struct Memory {
    bytes: Vec<u8>,
    is_read_only: bool,
    is_broken: bool,
    flushes: u32,
    discarded: Vec<(u64, u64)>,
}

impl Memory {
    fn new(sectors: usize) -> Self {
        let mut next = random(7);
        let bytes = (0..512 * sectors).map(|_| next() as u8).collect();
        Self { bytes, is_read_only: false, is_broken: false, flushes: 0, discarded: Vec::new() }
    }

    fn check(&self) -> Result<(), DiskError> {
        if self.is_broken { Err(DiskError) } else { Ok(()) }
    }
}

impl Disk for Memory {
    fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        self.check()
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        assert!(!self.is_read_only);
        self.bytes[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        self.check()
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.flushes += 1;
        self.check()
    }

    fn discard(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        assert!(!self.is_read_only && offset + bytes <= self.bytes());
        self.discarded.push((offset, bytes));
        self.check()
    }

    fn write_zeroes(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        assert!(!self.is_read_only);
        self.bytes[offset as usize..][..bytes as usize].fill(0);
        self.check()
    }
}

fn block(disk: Memory) -> Block<AtOnce<Memory>> {
    Block::new(AtOnce::new(disk), BlockConfig { serial: b"serial".to_vec(), queues: 2 })
}

fn header(kind: u32, sector: u64) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat()
}

fn range(sector: u64, sectors: u32, flags: u32) -> Vec<u8> {
    [&sector.to_le_bytes()[..], &sectors.to_le_bytes(), &flags.to_le_bytes()].concat()
}

#[test]
fn what_is_written_is_read_on_any_queue() {
    for format in formats() {
        let mut machine = Machine::ready(block(Memory::new(512)), format, 16);
        let disk = machine.function.device().backend().disk().bytes.clone();
        // Larger than the buffer, in pieces that are not its parts.
        let (written, data) =
            machine.request(0, &[&header(kind::IN, 3)], &[100 << 10, 512, 3 << 10, 1]).unwrap();
        assert_eq!((written as usize, data.len()), (data.len(), (103 << 10) + 513), "{format:?}");
        assert_eq!(data[..data.len() - 1], disk[3 * 512..][..data.len() - 1]);
        assert_eq!(data.last(), Some(&status::OK));
        let new: Vec<u8> = disk[..70 << 10].iter().map(|byte| !byte).collect();
        let (first, second) = new.split_at(1000);
        let request = [&header(kind::OUT, 5)[..], first, second];
        assert_eq!(machine.request(1, &request, &[1]), Some((1, vec![status::OK])));
        // Header and data need not be apart (2.7.4.3).
        let whole = [header(kind::OUT, 0), vec![7; 512]].concat();
        assert_eq!(machine.request(0, &[&whole], &[1]), Some((1, vec![status::OK])));
        let after = &machine.function.device().backend().disk().bytes;
        assert_eq!((&after[..512], &after[512..5 * 512]), (&[7; 512][..], &disk[512..5 * 512]));
        assert_eq!(after[5 * 512..][..new.len()], new);
        assert_eq!(after[5 * 512 + new.len()..], disk[5 * 512 + new.len()..]);
    }
}

#[test]
fn what_is_not_on_the_disk_is_an_error() {
    let cases = [
        (kind::IN, 8, 512, status::IO_ERROR),
        (kind::IN, 7, 1024, status::IO_ERROR),
        (kind::IN, 7, 512, status::OK),
        (kind::IN, 0, 100, status::IO_ERROR),
        (kind::IN, 0, 0, status::OK),
        (kind::IN, u64::MAX, 512, status::IO_ERROR),
        (kind::IN, u64::MAX / 512, 512, status::IO_ERROR),
        (2, 0, 512, status::UNSUPPORTED),
        (u32::MAX, 0, 0, status::UNSUPPORTED),
    ];
    for format in formats() {
        let mut machine = Machine::ready(block(Memory::new(8)), format, 16);
        for (kind, sector, bytes, expected) in cases {
            let (written, data) = machine.request(0, &[&header(kind, sector)], &[bytes, 1]).unwrap();
            assert_eq!(data.last(), Some(&expected), "{kind} {sector:#x}");
            // The status alone, where there is no data that is missing.
            let is_whole = expected == status::OK || bytes == 0;
            assert_eq!(written, if is_whole { bytes as u32 + 1 } else { 0 });
        }
        for (sector, bytes) in [(8, 512), (7, 1024), (0, 100), (u64::MAX, 512)] {
            let request = [&header(kind::OUT, sector)[..], &vec![1; bytes]];
            assert_eq!(machine.request(0, &request, &[1]), Some((1, vec![status::IO_ERROR])));
        }
        assert_eq!(machine.status() & pci::status::NEEDS_RESET, 0);
    }
}

#[test]
fn flush_serial_discard_and_zeroes() {
    let mut machine = Machine::ready(block(Memory::new(64)), Default::default(), 16);
    assert_eq!(machine.request(0, &[&header(kind::FLUSH, 0)], &[1]), Some((1, vec![0])));
    assert_eq!(machine.function.device().backend().disk().flushes, 1);
    let serial = [b"serial".to_vec(), vec![0; 15]].concat();
    assert_eq!(machine.request(0, &[&header(kind::GET_ID, 0)], &[20, 1]), Some((21, serial)));
    let ranges = [range(2, 3, 0), range(60, 4, 0)].concat();
    assert_eq!(machine.request(0, &[&header(kind::DISCARD, 0), &ranges], &[1]), Some((1, vec![0])));
    assert_eq!(machine.function.device().backend().disk().discarded, [(1024, 1536), (60 * 512, 2048)]);
    let ranges = [range(1, 1, 0), range(5, 2, 1)].concat();
    assert_eq!(machine.request(0, &[&header(kind::WRITE_ZEROES, 0), &ranges], &[1]), Some((1, vec![0])));
    let disk = &machine.function.device().backend().disk().bytes;
    let zero = |sector: usize| disk[512 * sector..][..512] == [0; 512];
    assert_eq!([0, 1, 2, 4, 5, 6, 7].map(zero), [false, true, false, false, true, true, false]);
}

#[test]
fn ranges_that_are_none_are_refused() {
    let whole = |count: usize| vec![range(0, 1, 0); count].concat();
    let cases = [
        (kind::DISCARD, range(0, 1, 1), status::UNSUPPORTED),
        (kind::WRITE_ZEROES, range(0, 1, 2), status::UNSUPPORTED),
        (kind::WRITE_ZEROES, range(0, (1 << 20) + 1, 0), status::UNSUPPORTED),
        (kind::WRITE_ZEROES, range(0, 1 << 20, 0), status::IO_ERROR),
        (kind::WRITE_ZEROES, range(7, 2, 0), status::IO_ERROR),
        (kind::WRITE_ZEROES, range(u64::MAX, 1, 0), status::IO_ERROR),
        (kind::DISCARD, vec![0; 15], status::UNSUPPORTED),
        (kind::DISCARD, vec![], status::UNSUPPORTED),
        (kind::DISCARD, whole(64), status::OK),
        (kind::DISCARD, whole(65), status::UNSUPPORTED),
    ];
    let mut machine = Machine::ready(block(Memory::new(8)), Default::default(), 16);
    for (kind, ranges, expected) in cases {
        let said = machine.request(0, &[&header(kind, 0), &ranges], &[1]);
        assert_eq!(said.map(|(_, data)| data), Some(vec![expected]), "{kind} {ranges:?}");
    }
}

#[test]
fn a_read_only_disk_is_not_written() {
    let disk = Memory { is_read_only: true, ..Memory::new(8) };
    let before = disk.bytes.clone();
    let mut machine = Machine::ready(block(disk), Default::default(), 16);
    assert_eq!(machine.function.device().features() >> 5 & 1, 1);
    assert_eq!(machine.function.device().features() & spec::feature::CHANGES, 0);
    let zero = range(0, 1, 0);
    for (kind, data) in [(kind::OUT, vec![0; 512]), (kind::DISCARD, zero.clone()), (kind::WRITE_ZEROES, zero)]
    {
        let said = machine.request(0, &[&header(kind, 0), &data], &[1]);
        assert_eq!(said.map(|(_, data)| data), Some(vec![status::IO_ERROR]));
    }
    assert_eq!(machine.function.device().backend().disk().bytes, before);
}

#[test]
fn a_broken_disk_is_an_io_error() {
    let disk = Memory { is_broken: true, ..Memory::new(8) };
    let mut machine = Machine::ready(block(disk), Default::default(), 16);
    for (kind, room) in [(kind::IN, 513), (kind::FLUSH, 1)] {
        let (_, data) = machine.request(0, &[&header(kind, 0)], &[room]).unwrap();
        assert_eq!(data.last(), Some(&status::IO_ERROR));
    }
}

/// Without header or room for the status there is nobody to tell: the device stops.
#[test]
fn what_is_no_request_needs_a_reset() {
    let cases: [(&[u8], &[usize]); 3] = [(&[0; 15], &[1]), (&[0; 16], &[]), (&[], &[600])];
    for format in formats() {
        for (readable, writable) in cases {
            let mut machine = Machine::ready(block(Memory::new(8)), format, 16);
            let readable: Vec<&[u8]> = if readable.is_empty() { vec![] } else { vec![readable] };
            assert_eq!(machine.request(0, &readable, writable), None);
            assert_eq!(machine.function.last_error(), Some(RingError::Request));
            assert_eq!(machine.status() & pci::status::NEEDS_RESET, pci::status::NEEDS_RESET);
            machine.start(16);
            assert!(machine.request(0, &[&header(kind::IN, 0)], &[512, 1]).is_some());
        }
    }
}

#[test]
fn the_configuration() {
    let mut machine = Machine::fresh(block(Memory::new(0x1234)), Default::default());
    for (offset, width, value) in [
        (0, Width::Qword, 0x1234),
        (1, Width::Byte, 0x12),
        (8, Width::Dword, 0),
        (12, Width::Dword, 254),
        (20, Width::Dword, 512),
        (34, Width::Word, 2),
        (36, Width::Dword, 1 << 20),
        (40, Width::Dword, 64),
        (44, Width::Dword, 1),
        (48, Width::Dword, 1 << 20),
        (52, Width::Dword, 64),
        (56, Width::Byte, 1),
        (57, Width::Dword, 0),
        (0xff8, Width::Qword, 0),
    ] {
        let read = machine.function.bar_read(0, pci::DEVICE + offset, width, &mut machine.bench);
        assert_eq!(read, value, "{offset}");
    }
}

#[test]
fn features_are_what_the_disk_can_do() {
    let common = 1 << 2 | 1 << 6 | 1 << 9;
    for (is_read_only, queues, features) in [
        (false, 1, common | 1 << 13 | 1 << 14),
        (false, 2, common | 1 << 13 | 1 << 14 | 1 << 12),
        (true, 0, common | 1 << 5),
        (true, 3, common | 1 << 5 | 1 << 12),
    ] {
        let disk = Memory { is_read_only, ..Memory::new(1) };
        let block = Block::new(AtOnce::new(disk), BlockConfig { serial: Vec::new(), queues });
        assert_eq!(block.features(), features, "{is_read_only} {queues}");
    }
}
