//! Tables made by hand: what QEMU's firmware leaves, and what a hostile host might.

use std::vec::Vec;

use super::*;
use crate::testing::TestMemory;

const RSDP: u64 = 0x1000;
const RSDT: u64 = 0x1100;
const XSDT: u64 = 0x1200;
const OTHER: u64 = 0x1300;
const MADT: u64 = 0x1400;

/// Sets the byte at `at` so that all add up to zero.
fn balance(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    bytes[at] = sum(bytes).wrapping_neg();
}

fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut table = signature.to_vec();
    table.extend((HEADER_BYTES as u32 + body.len() as u32).to_le_bytes());
    table.resize(HEADER_BYTES, 0x5a);
    table.extend(body);
    balance(&mut table, 9);
    table
}

fn apic(flags: u32) -> [u8; 8] {
    [0, 8, 0, 0, flags as u8, 0, 0, 0]
}

fn x2apic(flags: u32) -> [u8; 16] {
    [9, 16, 0, 0, 0, 0, 0, 0, flags as u8, 0, 0, 0, 0, 0, 0, 0]
}

fn madt(entries: &[&[u8]]) -> Vec<u8> {
    table(b"APIC", &[&[0; 8][..], &entries.concat()].concat())
}

fn rsdp(revision: u8) -> Vec<u8> {
    let mut rsdp = b"RSD PTR ".to_vec();
    rsdp.resize(36, 0);
    rsdp[15] = revision;
    rsdp[16..20].copy_from_slice(&(RSDT as u32).to_le_bytes());
    if revision >= 2 {
        rsdp[24..32].copy_from_slice(&XSDT.to_le_bytes());
    }
    balance(&mut rsdp[..20], 8);
    balance(&mut rsdp, 32);
    rsdp
}

/// Memory with tables of either revision and this MADT.
fn memory(revision: u8, madt: &[u8]) -> TestMemory {
    let mut memory = TestMemory::new(0x1000, 0x2000);
    memory.put(RSDP, &rsdp(revision));
    let pointers = |bytes: usize| {
        [OTHER, MADT].iter().flat_map(|at| at.to_le_bytes()[..bytes].to_vec()).collect::<Vec<_>>()
    };
    if revision >= 2 {
        memory.put(XSDT, &table(b"XSDT", &pointers(8)));
    } else {
        memory.put(RSDT, &table(b"RSDT", &pointers(4)));
    }
    memory.put(OTHER, &table(b"FACP", &[0; 16]));
    memory.put(MADT, madt);
    memory
}

#[test]
fn counts() {
    let io_apic = [1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let two = madt(&[&apic(1), &io_apic, &apic(1), &apic(0), &apic(2)]);
    for revision in [0, 2] {
        assert_eq!(count_processors(&memory(revision, &two), RSDP), Some(2), "revision {revision}");
    }
    let mixed = madt(&[&apic(1), &x2apic(1), &x2apic(0)]);
    assert_eq!(count_processors(&memory(2, &mixed), RSDP), Some(2));
}

#[test]
fn what_is_not_trusted() {
    let good = madt(&[&apic(1)]);
    assert_eq!(count_processors(&memory(0, &good), 0), None);
    assert_eq!(count_processors(&memory(0, &good), RSDP + 16), None);
    assert_eq!(count_processors(&memory(0, &good), u64::MAX - 3), None);
    assert_eq!(count_processors(&memory(0, &madt(&[])), RSDP), None);
    assert_eq!(count_processors(&memory(0, &madt(&[&apic(0)])), RSDP), None);
    // A wrong byte anywhere, in each of the structures.
    for at in [RSDP + 3, RSDP + 17, RSDT + 1, RSDT + 5, RSDT + 37, MADT + 2, MADT + 20, MADT + 47] {
        let mut memory = memory(0, &good);
        let byte = memory.slice(at, 1).unwrap()[0];
        memory.put(at, &[byte ^ 0x40]);
        assert_eq!(count_processors(&memory, RSDP), None, "{at:#x}");
    }
    // Lengths: too short for its own header, and longer than memory, with a good checksum each.
    for length in [0u32, 35, 0x2000, u32::MAX] {
        let mut bad = good.clone();
        bad[4..8].copy_from_slice(&length.to_le_bytes());
        balance(&mut bad, 9);
        assert_eq!(count_processors(&memory(0, &bad), RSDP), None, "{length}");
    }
}

/// Each check of the RSDP by itself: a wrong signature whose sum is right, and a wrong sum alone.
#[test]
fn the_rsdp() {
    type Change = fn(&mut [u8]);
    let cases: [(Change, Option<u32>); 5] = [
        (|_| (), Some(2)),
        (|rsdp| (rsdp[0], rsdp[1]) = (b'S', b'R'), None),
        (|rsdp| rsdp[8] ^= 1, None),
        // Without an XSDT, and where the sum of all of it is wrong, the RSDT counts.
        (|rsdp| rsdp[24..].fill(0), Some(1)),
        (|rsdp| rsdp[32] ^= 1, Some(1)),
    ];
    for (index, (change, expected)) in cases.into_iter().enumerate() {
        let mut memory = memory(2, &madt(&[&apic(1), &apic(1)]));
        memory.put(RSDT, &table(b"RSDT", &(MADT as u32 + 0x100).to_le_bytes()));
        memory.put(MADT + 0x100, &madt(&[&apic(1)]));
        let mut rsdp = rsdp(2);
        change(&mut rsdp);
        if index == 3 {
            balance(&mut rsdp, 32);
        }
        memory.put(RSDP, &rsdp);
        assert_eq!(count_processors(&memory, RSDP), expected, "case {index}");
    }
}

#[test]
fn lengths_of_tables() {
    for (bytes, fine) in [(0, false), (35, false), (36, true), (0x1_0000, true), (0x1_0001, false)] {
        let mut memory = TestMemory::new(0x1000, 0x2_0000);
        memory.bytes.fill(0);
        memory.put(0x1000, b"APIC");
        memory.put(0x1004, &u32::to_le_bytes(bytes));
        let sum = sum(memory.slice(0x1000, 8).unwrap());
        memory.put(0x1009, &[sum.wrapping_neg()]);
        assert_eq!(super::table(&memory, 0x1000, b"APIC").is_some(), fine, "{bytes:#x}");
    }
}

#[test]
fn entries_of_odd_lengths_end_the_list() {
    for tail in [&[0u8, 0][..], &[0, 1], &[0], &[0, 9, 0, 0, 1, 0, 0, 0], &[0, 7, 0, 0, 1, 0, 0], &[9, 255]] {
        let odd = madt(&[&apic(1), tail, &apic(1)[..0]]);
        assert_eq!(count_processors(&memory(0, &odd), RSDP), Some(1), "{tail:?}");
    }
}
