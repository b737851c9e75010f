//! I/O commands on a disk that does each at once.

use alloc::vec::Vec;

use devices::disk::BUFFER_BYTES;

use crate::testing::{DATA, Memory, Plain, SECTORS, Sent};

/// A read or a write of so many blocks.
fn transfer(opcode: u8, first: u64, blocks: u32, prps: [u64; 2]) -> Sent {
    let dwords = [first as u32, (first >> 32) as u32, blocks - 1, 0, 0, 0];
    Sent { opcode, namespace: 1, prps, dwords, ..Sent::default() }
}

fn record(machine: &Plain) -> &[&'static str] {
    &machine.function.backend().disk().record
}

#[test]
fn reads_and_writes() {
    let mut machine = Plain::with_disk(Memory::default());
    let before = machine.function.backend().disk().bytes.clone();
    assert_eq!(machine.command(1, transfer(2, 3, 2, [DATA, 0])).status, 0);
    assert_eq!(machine.ram.copy(DATA, 1024), before[3 * 512..5 * 512]);
    assert_eq!(machine.ram.copy(DATA + 1024, 1), [0xee]);
    let bytes: Vec<u8> = (0..1024).map(|at| (at % 249) as u8).collect();
    machine.ram.put(DATA + 0xe00, &bytes[..512]);
    machine.ram.put(DATA + 0x8000, &bytes[512..]);
    let write = transfer(1, SECTORS - 2, 2, [DATA + 0xe00, DATA + 0x8000]);
    assert_eq!(machine.command(1, write).status, 0);
    let disk = &machine.function.backend().disk().bytes;
    assert_eq!(disk[(SECTORS as usize - 2) * 512..], bytes);
    assert_eq!(disk[..(SECTORS as usize - 2) * 512], before[..(SECTORS as usize - 2) * 512]);
    assert_eq!(record(&machine), ["read", "write"]);
}

#[test]
fn the_most_bytes_by_a_list() {
    let mut machine = Plain::with_disk(Memory::default());
    for page in 0..16u64 {
        machine.ram.put(0x4000 + 8 * page, &(DATA + 0x2000 * page).to_le_bytes());
    }
    let blocks = (BUFFER_BYTES / 512) as u32;
    assert_eq!(machine.command(1, transfer(2, 0, blocks, [DATA + 0x1f000, 0x4000])).status, 0);
    let disk = &machine.function.backend().disk().bytes;
    assert_eq!(machine.ram.copy(DATA + 0x1f000, 4096), disk[..4096]);
    for page in 0..15u64 {
        let expected = &disk[4096 * (page as usize + 1)..][..4096];
        assert_eq!(machine.ram.copy(DATA + 0x2000 * page, 4096), expected, "{page}");
    }
    assert_eq!(machine.command(1, transfer(2, 0, blocks + 1, [DATA, 0x4000])).status, 0x002);
    assert_eq!(machine.command(1, transfer(2, 0, 0x1_0000, [DATA, 0x4000])).status, 0x002);
}

#[test]
fn what_is_not_on_the_disk_or_not_memory() {
    let mut machine = Plain::with_disk(Memory::default());
    let away = 1 << 40;
    for opcode in [1, 2] {
        for (first, blocks, prps, status) in [
            (SECTORS, 1, [DATA, 0], 0x080),
            (SECTORS - 1, 2, [DATA, 0], 0x080),
            (u64::MAX, 1, [DATA, 0], 0x080),
            (u64::MAX / 512, 2, [DATA, 0], 0x080),
            (1 << 55, 1, [DATA, 0], 0x080),
            (0, 1, [DATA + 1, 0], 0x013),
            (0, 16, [DATA, DATA + 0x2200], 0x013),
            (0, 24, [DATA, DATA + 0x2004], 0x013),
            (0, 1, [away, 0], 0x004),
            (0, 16, [DATA, away], 0x004),
            (0, 24, [DATA, away], 0x004),
            (SECTORS - 1, 1, [DATA, 0], 0),
        ] {
            let sent = transfer(opcode, first, blocks, prps);
            assert_eq!(machine.command(1, sent).status, status, "{sent:x?}");
        }
    }
    // Nothing was written for the commands that failed.
    assert_eq!(record(&machine).iter().filter(|name| **name == "write").count(), 1);
}

#[test]
fn what_is_no_command_of_the_namespace() {
    let mut machine = Plain::with_disk(Memory::default());
    for (opcode, flags, namespace, status) in [
        (0x02, 0, 0, 0x00b),
        (0x02, 0, 2, 0x00b),
        (0x02, 0, u32::MAX, 0x00b),
        (0x01, 0, u32::MAX, 0x00b),
        (0x08, 0, u32::MAX, 0x00b),
        (0x09, 0, u32::MAX, 0x00b),
        (0x00, 0, 2, 0x00b),
        (0x00, 0, 0, 0x00b),
        (0x00, 0, u32::MAX, 0),
        (0x00, 0, 1, 0),
        (0x04, 0, 1, 0x001),
        (0x05, 0, 1, 0x001),
        (0x0c, 0, 1, 0x001),
        (0x0d, 0, 1, 0x001),
        (0x80, 0, 1, 0x001),
        (0xff, 0, 1, 0x001),
        (0x02, 0x01, 1, 0x002),
        (0x02, 0x02, 1, 0x002),
        (0x02, 0x40, 1, 0x002),
        (0x02, 0x80, 1, 0x002),
    ] {
        let sent = Sent { flags, namespace, ..transfer(opcode, 0, 1, [DATA, 0]) };
        assert_eq!(machine.command(1, sent).status, status, "{sent:x?}");
    }
    assert_eq!(record(&machine), ["flush", "flush"]);
}

#[test]
fn what_is_forced_goes_with_a_flush() {
    let mut machine = Plain::with_disk(Memory::default());
    let forced = |opcode| {
        let mut sent = transfer(opcode, 0, 1, [DATA, 0]);
        sent.dwords[2] |= 1 << 30;
        sent
    };
    for opcode in [1, 2, 8] {
        assert_eq!(machine.command(1, forced(opcode)).status, 0);
    }
    assert_eq!(record(&machine), ["write", "flush", "flush", "read", "zeroes", "flush"]);
}

#[test]
fn without_a_cache_every_write_goes_with_a_flush() {
    let mut machine = Plain::with_disk(Memory::default());
    assert_eq!(machine.admin(Sent { opcode: 9, dwords: [6, 0, 0, 0, 0, 0], ..Sent::default() }).status, 0);
    for opcode in [1, 2, 8] {
        assert_eq!(machine.command(1, transfer(opcode, 0, 1, [DATA, 0])).status, 0);
    }
    assert_eq!(record(&machine), ["write", "flush", "read", "zeroes", "flush"]);
}

#[test]
fn zeroes_come_in_pieces() {
    let disk = Memory { bytes: alloc::vec![7; 3 << 20], ..Memory::default() };
    let mut machine = Plain::with_disk(disk);
    assert_eq!(machine.command(1, transfer(8, 1, (5 << 20) / 2 / 512, [0; 2])).status, 0);
    let disk = machine.function.backend().disk();
    assert_eq!(disk.record, ["zeroes"; 3]);
    let end = 512 + (5 << 20) / 2;
    assert!(disk.bytes[512..end].iter().all(|byte| *byte == 0));
    assert!(disk.bytes[..512].iter().chain(&disk.bytes[end..]).all(|byte| *byte == 7));
    assert_eq!(machine.command(1, transfer(8, 1 << 12, 0x1000, [0; 2])).status, 0x080);
}

#[test]
fn ranges_are_discarded() {
    let mut machine = Plain::with_disk(Memory::default());
    let range = |blocks: u32, first: u64| {
        let words = u128::from(blocks) << 32 | u128::from(first) << 64 | 0xffff_ffff;
        words.to_le_bytes()
    };
    let put = |machine: &Plain, ranges: &[[u8; 16]]| machine.ram.put(DATA, &ranges.concat());
    let sent = |count: u32, eleven: u32| Sent {
        opcode: 9,
        namespace: 1,
        prps: [DATA, 0],
        dwords: [count - 1, eleven, 0, 0, 0, 0],
        ..Sent::default()
    };
    put(&machine, &[range(8, 0), range(0, 5), range(1, SECTORS - 1)]);
    assert_eq!(machine.command(1, sent(3, 4)).status, 0);
    let discarded = |machine: &Plain| machine.function.backend().disk().discarded.clone();
    assert_eq!(discarded(&machine), [((SECTORS - 1) * 512, 512), (0, 4096)]);
    // One range that is not on the disk: none is discarded. Without the attribute they are hints.
    put(&machine, &[range(8, 0), range(1, SECTORS)]);
    assert_eq!(machine.command(1, sent(2, 4)).status, 0x080);
    put(&machine, &[range(8, 0), range(u32::MAX, u64::MAX)]);
    assert_eq!(machine.command(1, sent(2, 4)).status, 0x080);
    assert_eq!(machine.command(1, sent(1, 3)).status, 0);
    assert_eq!(machine.command(1, Sent { prps: [1 << 40, 0], ..sent(1, 4) }).status, 0x004);
    assert_eq!(discarded(&machine).len(), 2);
    // As many as there may be.
    put(&machine, &[range(1, 3); 256]);
    assert_eq!(machine.command(1, sent(256, 4)).status, 0);
    assert_eq!(discarded(&machine).len(), 258);
}

#[test]
fn a_disk_that_cannot_be_written() {
    let mut machine = Plain::with_disk(Memory { is_read_only: true, ..Memory::default() });
    machine.ram.put(DATA, &[0; 16]);
    for (opcode, status) in [(0, 0), (1, 0x020), (2, 0), (8, 0x020), (9, 0x020)] {
        let sent = transfer(opcode, 0, 1, [DATA, 0]);
        assert_eq!(machine.command(1, sent).status, status, "{opcode}");
    }
    assert_eq!(record(&machine), ["flush", "read"]);
}

#[test]
fn a_disk_that_fails() {
    let mut machine = Plain::with_disk(Memory { is_broken: true, ..Memory::default() });
    machine.ram.put(DATA, &1u128.to_le_bytes());
    for (opcode, status) in [(0, 0x006), (1, 0x280), (2, 0x281), (8, 0x280)] {
        let sent = transfer(opcode, 0, 1, [DATA, 0]);
        assert_eq!(machine.command(1, sent).status, status, "{opcode}");
    }
    assert_eq!(record(&machine), ["flush", "write", "read", "zeroes"]);
    assert_eq!(machine.ram.copy(DATA, 16), 1u128.to_le_bytes(), "nothing was read");
}

#[test]
fn health_counts_what_was_read_and_written() {
    let mut machine = Plain::with_disk(Memory::default());
    for opcode in [1, 2, 2] {
        assert_eq!(machine.command(1, transfer(opcode, 0, 8, [DATA, 0])).status, 0);
    }
    let dwords = [127 << 16 | 2, 0, 0, 0, 0, 0];
    assert_eq!(machine.admin(Sent { opcode: 2, prps: [DATA, 0], dwords, ..Sent::default() }).status, 0);
    // Units of a thousand sectors, rounded up; commands.
    for (at, count) in [(32, 1), (48, 1), (64, 2), (80, 1), (176, 0)] {
        assert_eq!(machine.ram.copy(DATA + at, 16), u128::to_le_bytes(count), "{at}");
    }
}
