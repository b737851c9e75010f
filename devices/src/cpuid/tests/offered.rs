//! What reaches a guest of a host that has everything, bit by bit as the manuals number them, and what falls
//! with what such a host lacks.

use super::*;

const ONES: Leaf = Leaf { eax: !0, ebx: !0, ecx: !0, edx: !0 };
const INTEL: Leaf = Leaf { eax: 0x20, ebx: 0x756e_6547, ecx: 0x6c65_746e, edx: 0x4965_6e69 };
const AMD: Leaf = Leaf { eax: 0x20, ebx: 0x6874_7541, ecx: 0x444d_4163, edx: 0x6974_6e65 };

/// A host with each bit there is, and areas for AVX-512 and protection keys.
fn rich(vendor: Leaf, leaf: u32, subleaf: u32) -> Leaf {
    let area = |eax, ebx, ecx| Leaf { eax, ebx, ecx, edx: !0 };
    match (leaf, subleaf) {
        (0, _) => vendor,
        (0x8000_0000, _) => Leaf { eax: 0x8000_0021, ..vendor },
        (0x0d, 2) => area(264, 576, 0),
        (0x0d, 5) => area(64, 896, 3),
        (0x0d, 6) => area(520, 960, 1),
        (0x0d, 7) => area(1000, 1536, 0),
        (0x0d, 9) => area(8, 2688, 2),
        (0x0d, 2..) => Leaf::default(),
        _ => ONES,
    }
}

fn policy() -> CpuidPolicy {
    CpuidPolicy { tsc_aux: true, ..CpuidPolicy::new(2, 4, TSC_HZ) }
}

fn made(mut host: impl FnMut(u32, u32) -> Leaf) -> CpuidTable {
    CpuidTable::new(&mut host, &policy())
}

fn bits(list: &[u32]) -> u32 {
    list.iter().map(|bit| 1 << bit).sum()
}

/// With OSXSAVE, protection keys and all states on.
fn get(table: &CpuidTable, leaf: u32, subleaf: u32) -> Leaf {
    table.lookup(leaf, subleaf, &Live { cr4: 1 << 18 | 1 << 22, xcr0: !0, ..Live::default() })
}

#[test]
fn every_bit_that_is_offered() {
    let leaf = |eax, ebx, ecx, edx| Leaf { eax, ebx, ecx, edx };
    let one_edx = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 23, 24, 25, 26, 28];
    let seven_ebx = [0, 1, 3, 5, 7, 8, 9, 16, 17, 18, 19, 20, 21, 23, 24, 28, 29, 30, 31];
    let common = [
        (
            0x01,
            0,
            leaf(
                0x0fff_0fff,
                0x0204_0800,
                bits(&[0, 1, 9, 12, 13, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]),
                bits(&one_edx),
            ),
        ),
        (0x06, 0, leaf(4, 0, 0, 0)),
        (0x07, 0, leaf(1, bits(&seven_ebx), bits(&[1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 14, 22]), bits(&[4]))),
        (0x07, 1, leaf(bits(&[4, 5, 10, 11, 12]), 0, 0, 0)),
        (0x0d, 0, leaf(0x2e7, 2696, 2696, 0)),
        // Compacted, those that ask for it are aligned: 5 at 896, 9 at 2496.
        (0x0d, 1, leaf(7, 2504, 0, 0)),
        (0x0d, 2, leaf(264, 576, 0, 0)),
        (0x0d, 3, Leaf::default()),
        (0x0d, 5, leaf(64, 896, 2, 0)),
        (0x0d, 6, leaf(520, 960, 0, 0)),
        (0x0d, 9, leaf(8, 2688, 2, 0)),
        (0x8000_0002, 0, ONES),
        (0x8000_0006, 0, ONES),
        (0x8000_0007, 0, leaf(0, 0, 0, bits(&[8]))),
    ];
    let extended_ecx = [0, 5, 6, 7, 8, 11, 16, 21];
    let extended_edx = [11, 20, 22, 26, 27, 29, 30, 31];
    let copy = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 23, 24];
    let amd = [
        (0x00, 0, Leaf { eax: 0x16, ..AMD }),
        (0x04, 0, Leaf::default()),
        (0x8000_0000, 0, Leaf { eax: 0x8000_0021, ..AMD }),
        (
            0x8000_0001,
            0,
            leaf(0x0fff_0fff, !0, bits(&extended_ecx) | bits(&[1, 22]), bits(&extended_edx) | bits(&copy)),
        ),
        (0x8000_0008, 0, leaf(46 | 48 << 8, bits(&[0, 2]), 3 | 2 << 12, 0)),
        (0x8000_001a, 0, leaf(7, 0, 0, 0)),
        (0x8000_001d, 5, leaf(0xc3ff, !0, !0, 3)),
        (0x8000_001d, 6, Leaf::default()),
        (0x8000_001e, 0, leaf(2, 2, 0, 0)),
        (0x8000_0021, 0, leaf(bits(&[2, 6]), 0, 0, 0)),
    ];
    let intel = [
        (0x00, 0, Leaf { eax: 0x16, ..INTEL }),
        (0x04, 5, leaf(0x0c00_c3ff, !0, !0, 7)),
        (0x04, 6, Leaf::default()),
        (0x8000_0000, 0, Leaf { eax: 0x8000_0021, ..INTEL }),
        (0x8000_0001, 0, leaf(0, !0, bits(&extended_ecx), bits(&extended_edx))),
        (0x8000_0008, 0, leaf(46 | 48 << 8, bits(&[0, 2]), 0, 0)),
        (0x8000_001a, 0, Leaf::default()),
        (0x8000_001d, 0, Leaf::default()),
    ];
    for (vendor, own) in [(AMD, &amd[..]), (INTEL, &intel)] {
        let table = made(|leaf, subleaf| rich(vendor, leaf, subleaf));
        for &(leaf, subleaf, expected) in common.iter().chain(own) {
            assert_eq!(get(&table, leaf, subleaf), expected, "{leaf:x} {subleaf}");
        }
    }
}

/// SDM 1, 13.3 and 15.2: instructions need the state that they work on, AVX-512 all three of its own and AVX.
#[test]
fn what_falls_with_a_state() {
    let (avx512, avx512_ecx) = ([16, 17, 21, 28, 30, 31], [1, 6, 11, 12, 14]);
    // XCR0 as the host offers it and as the guest gets it; then bits that are gone of leaf 1 ECX, leaf 7 EBX
    // and ECX, leaf 7.1 EAX, leaf 8000_0001h ECX.
    type Row<'a> = (u32, u64, &'a [u32], &'a [u32], &'a [u32], &'a [u32], &'a [u32]);
    let no_avx_ebx = [5, 16, 17, 21, 28, 30, 31];
    let no_avx_ecx = [1, 6, 9, 10, 11, 12, 14];
    let no_keys = [1, 3, 4, 6, 11, 12, 14];
    let rows: [Row<'_>; 7] = [
        (0x2e7, 0x2e7, &[], &[], &[], &[], &[]),
        (0x207, 0x207, &[], &avx512, &avx512_ecx, &[5], &[]),
        (0x0e7, 0x0e7, &[], &[], &[3, 4], &[], &[]),
        (0x0a7, 0x007, &[], &avx512, &no_keys, &[5], &[]),
        (0x067, 0x007, &[], &avx512, &no_keys, &[5], &[]),
        (0x203, 0x203, &[12, 28, 29], &no_avx_ebx, &no_avx_ecx, &[4, 5], &[11, 16]),
        (0x2e3, 0x203, &[12, 28, 29], &no_avx_ebx, &no_avx_ecx, &[4, 5], &[11, 16]),
    ];
    let places = |table: &CpuidTable| {
        let seven = get(table, 7, 0);
        [get(table, 1, 0).ecx, seven.ebx, seven.ecx, get(table, 7, 1).eax, get(table, 0x8000_0001, 0).ecx]
    };
    let all = places(&made(|leaf, subleaf| rich(INTEL, leaf, subleaf)));
    for (offered, allowed, one, seven_ebx, seven_ecx, seven_1, extended) in rows {
        let table = made(|leaf, subleaf| match (leaf, subleaf) {
            (0x0d, 0) => Leaf { eax: offered, edx: 0, ..ONES },
            _ => rich(INTEL, leaf, subleaf),
        });
        assert_eq!(table.allowed_xcr0(), allowed, "{offered:x}");
        for state in 2..10 {
            let is_there = get(&table, 0x0d, state) != Leaf::default();
            assert_eq!(is_there, allowed & 1 << state != 0, "{offered:x} {state}");
        }
        let gone = [one, seven_ebx, seven_ecx, seven_1, extended].map(bits);
        assert_eq!(places(&table), core::array::from_fn(|i| all[i] & !gone[i]), "{offered:x}");
    }
}

/// Beyond its highest leaf, or subleaf, a processor may return anything (SDM 2A, CPUID).
#[test]
fn nothing_is_asked_for_beyond_the_highest_leaf() {
    let host = |basic, extended, seven: u32| {
        made(move |leaf, subleaf| match leaf {
            0 => Leaf { eax: basic, ..AMD },
            7 if subleaf == 0 => Leaf { eax: seven, ..ONES },
            0x8000_0000 => Leaf { eax: extended, ..AMD },
            _ => rich(AMD, leaf, subleaf),
        })
    };
    let poor = host(6, 0x8000_0001, 0);
    assert_eq!(get(&poor, 7, 0), Leaf { eax: 1, ebx: 2, ..Leaf::default() });
    for leaf in [0x8000_0002, 0x8000_001a, 0x8000_001d, 0x8000_0021] {
        assert_eq!(get(&poor, leaf, 0), Leaf::default(), "{leaf:x}");
    }
    assert_eq!(get(&host(7, 0x8000_0021, 0), 7, 1), Leaf::default());
    // The address's width is the smaller one, and one that a processor can have.
    for (bits, expected) in [(40, 40), (46, 46), (52, 46), (0, 36), (0xff, 46)] {
        let table = made(|leaf, subleaf| match leaf {
            0x8000_0008 => Leaf { eax: 0x3000 | bits, ..ONES },
            _ => rich(AMD, leaf, subleaf),
        });
        assert_eq!(get(&table, 0x8000_0008, 0).eax, expected | 48 << 8);
    }
}

/// What the host lacks is not offered, but for what is emulated.
#[test]
fn what_a_host_without_features_offers() {
    let table = made(|leaf, subleaf| match leaf {
        0 | 0x8000_0000 => rich(AMD, leaf, subleaf),
        _ => Leaf::default(),
    });
    let one = Leaf { eax: 0, ebx: 0x0204_0800, ecx: bits(&[21, 24]), edx: bits(&[9, 12, 16, 28]) };
    let extended = Leaf { ecx: bits(&[1, 22]), edx: bits(&[9, 12, 16]), ..Leaf::default() };
    for (leaf, expected) in [
        (1, one),
        (7, Leaf { eax: 1, ebx: 2, ..Leaf::default() }),
        (0x8000_0001, extended),
        (0x8000_0008, Leaf { eax: 36 | 48 << 8, ecx: 3 | 2 << 12, ..Leaf::default() }),
        (0x8000_001a, Leaf::default()),
        (0x8000_0021, Leaf::default()),
    ] {
        assert_eq!(get(&table, leaf, 0), expected, "{leaf:x}");
    }
}

/// A leaf with subleaves ends where they do, though it has but one.
#[test]
fn one_cache_is_not_all() {
    let table = made(|leaf, subleaf| match (leaf, subleaf) {
        (4, 1..) => Leaf::default(),
        _ => rich(INTEL, leaf, subleaf),
    });
    assert_ne!(get(&table, 4, 0), Leaf::default());
    assert_eq!(get(&table, 4, 1), Leaf::default());
}
