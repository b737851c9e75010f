use super::{features as f, *};
use crate::testing::Random;
use alloc::collections::BTreeSet;

mod offered;

const TSC_HZ: u64 = 2_999_998_000;

/// A host like an AMD EPYC with AVX2, and everything on that we must hide.
fn epyc(leaf: u32, subleaf: u32) -> Leaf {
    let l = |eax, ebx, ecx, edx| Leaf { eax, ebx, ecx, edx };
    match (leaf, subleaf) {
        (0, _) => l(0x10, 0x6874_7541, 0x444d_4163, 0x6974_6e65),
        (1, _) => l(0x0080_0f12, 0x0710_0800, 0xfff8_320b, 0x178b_fbff),
        (7, 0) => l(5, 0x209c_01ab, 0x0041_0688, 0xfc00_0010),
        (0x0d, 0) => l(0x207, 0x340, 0x988, 0),
        (0x0d, 1) => l(0xf, 0x340, 0, 0),
        (0x0d, 2) => l(0x100, 0x240, 0, 0),
        (0x0d, 9) => l(8, 0x980, 0, 0),
        (0x8000_0000, _) => l(0x8000_0021, 0x6874_7541, 0x444d_4163, 0x6974_6e65),
        (0x8000_0001, _) => l(0x0080_0f12, 0x4000_0000, 0x35c2_33ff, 0x2fd3_fbff),
        (0x8000_0002..=0x8000_0006, n) => l(leaf, n, 0x20, 0x30),
        (0x8000_0007, _) => l(0, 0, 0, 0x6799),
        (0x8000_0008, _) => l(0x3030, 0x0f9f_f205, 0x6007, 0),
        (0x8000_000a, _) => l(1, 0x8000, 0, 0x1bcff),
        (0x8000_001a, _) => l(6, 0, 0, 0),
        (0x8000_001d, 0) => l(0x4121, 0x01c0_003f, 0x3f, 0),
        (0x8000_001d, 1) => l(0x4143, 0x01c0_003f, 0x1ff, 2),
        (0x8000_001d, 2) => l(0x1c163, 0x03c0_003f, 0x3fff, 1),
        (0x8000_001e, _) => l(7, 0x103, 0x302, 0),
        (0x8000_001f, _) => l(0xf, 0x173, 0xf, 1),
        (0x8000_0021, _) => l(0xffff_ffff, 0, 0, 0),
        (0x4000_0000, _) => l(0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d),
        _ => Leaf::default(),
    }
}

fn table(policy: &CpuidPolicy) -> CpuidTable {
    CpuidTable::new(&mut epyc, policy)
}

fn four(apic_id: u32) -> CpuidTable {
    table(&CpuidPolicy::new(apic_id, 4, TSC_HZ))
}

fn ask(table: &CpuidTable, leaf: u32, subleaf: u32) -> Leaf {
    table.lookup(leaf, subleaf, &Live { cr4: 1 << 18, xcr0: 3, ..Live::default() })
}

#[test]
fn virtualization_and_timers_we_lack_are_hidden() {
    let table = four(0);
    // Leaf; register; bits that must be off; bits that must be on.
    let (one, seven) = (ask(&table, 1, 0), ask(&table, 7, 0));
    let extended = ask(&table, 0x8000_0001, 0);
    let cases = [
        (
            "leaf 1 ECX",
            one.ecx,
            1 << 3 | 1 << 5 | 1 << 15 | 1 << 17 | 1 << 31,
            1 << 21 | 1 << 24 | 1 << 13 | 1 << 28 | 1 << 27,
        ),
        ("leaf 1 EDX", one.edx, 1 << 27, 1 << 9 | 1 << 12 | 1 << 16 | 1 << 28 | 1 << 25),
        ("leaf 7 EBX", seven.ebx, 1 << 10 | 1 << 12 | 1 << 16, 1 << 1 | 1 << 5 | 1 << 7 | 1 << 20),
        ("leaf 7 ECX", seven.ecx, 1 << 4 | 1 << 16 | 1 << 22, 1 << 3),
        ("leaf 7 EDX", seven.edx, 0xfc00_0000, 1 << 4),
        ("8000_0001h ECX", extended.ecx, 1 << 2 | 1 << 10 | 1 << 12 | 1 << 23, 1 << 1 | 1 << 22),
        ("8000_0001h EDX", extended.edx, 1 << 27, 1 << 11 | 1 << 20 | 1 << 26 | 1 << 29 | 1 << 9),
        ("leaf 6 EAX", ask(&table, 6, 0).eax, !4, 4),
        ("8000_0007h EDX", ask(&table, 0x8000_0007, 0).edx, !0x100, 0x100),
        ("8000_0008h EBX", ask(&table, 0x8000_0008, 0).ebx, !5, 5),
        ("8000_0021h EAX", ask(&table, 0x8000_0021, 0).eax, !0x44, 0x44),
    ];
    for (name, value, off, on) in cases {
        assert_eq!((value & off, value & on), (0, on), "{name} = {value:#x}");
    }
}

#[test]
fn leaves_that_are_not_there_read_zero() {
    let table = four(3);
    let missing = [
        2,
        3,
        4,
        5,
        9,
        0x0a,
        0x0c,
        0x0f,
        0x10,
        0x12,
        0x14,
        0x17,
        0x1f,
        0x20,
        0x4000_0000,
        0x4000_0001,
        0x4000_0100,
    ];
    let extended = [
        0x8000_000a,
        0x8000_001b,
        0x8000_001f,
        0x8000_0022,
        0x8000_0026,
        0xc000_0000,
        0xffff_ffff,
        0x7fff_ffff,
    ];
    for leaf in missing.into_iter().chain(extended) {
        assert_eq!(ask(&table, leaf, 0), Leaf::default(), "{leaf:#x}");
    }
    for (leaf, subleaf) in [(7, 2), (0x0d, 10), (0x0d, 63), (0x0d, u32::MAX), (0x8000_001d, 3), (7, u32::MAX)]
    {
        assert_eq!(ask(&table, leaf, subleaf), Leaf::default(), "{leaf:#x} {subleaf}");
    }
    assert_eq!(ask(&table, 0, 0).eax, 0x16);
    assert_eq!(ask(&table, 1, 77), ask(&table, 1, 0), "ECX does not matter where there are no subleaves");
}

/// The short way gives what the long one does, whatever the vCPU's state and ECX are.
#[test]
fn plain_answers_are_the_answers() {
    let table = four(2);
    for leaf in (0..0x20).chain(0x8000_0000..0x8000_0030).chain([0x4000_0000, u32::MAX]) {
        let answers: BTreeSet<[u32; 4]> = [(0, 0, 1), (1, 1 << 18 | 1 << 22, 7), (5, 0, 3)]
            .map(|(subleaf, cr4, xcr0)| table.lookup(leaf, subleaf, &Live { cr4, xcr0, ..Live::default() }))
            .map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx])
            .into();
        if let Some(Leaf { eax, ebx, ecx, edx }) = table.plain(leaf) {
            assert_eq!(answers, [[*eax, *ebx, *ecx, *edx]].into(), "{leaf:#x}");
        }
    }
    assert!(table.plain(0).is_some() && table.plain(1).is_none() && table.plain(0xd).is_none());
}

#[test]
fn topology_agrees_everywhere() {
    // CPUs; core bits.
    for (cpus, bits) in [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (64, 6), (255, 8), (300, 9)] {
        for apic_id in [0, cpus - 1] {
            let table = table(&CpuidPolicy::new(apic_id, cpus, TSC_HZ));
            let one = ask(&table, 1, 0);
            assert_eq!(one.ebx >> 24, apic_id & 0xff);
            assert_eq!(one.ebx >> 16 & 0xff, (1u32 << bits).min(255));
            assert_eq!((one.ebx >> 8 & 0xff, one.edx >> 28 & 1), (8, u32::from(cpus > 1)));
            let smt = Leaf { eax: 0, ebx: 1, ecx: 0x100, edx: apic_id };
            let core = Leaf { eax: bits, ebx: cpus, ecx: 0x201, edx: apic_id };
            let end = Leaf { eax: 0, ebx: 0, ecx: 2, edx: apic_id };
            assert_eq!([0, 1, 2].map(|level| ask(&table, 0x0b, level)), [smt, core, end], "{cpus}");
            let eight = ask(&table, 0x8000_0008, 0).ecx;
            assert_eq!((eight & 0xff, eight >> 12), ((cpus - 1).min(0xff), bits));
            let unit = ask(&table, 0x8000_001e, 0);
            assert_eq!((unit.eax, unit.ebx >> 8, unit.ecx), (apic_id, 0, 0));
            assert_eq!(ask(&table, 0x8000_0001, 0).ecx >> 1 & 1, u32::from(cpus > 1));
            // L1 is a core's own, L3 everybody's.
            let sharing = [0, 2].map(|cache| ask(&table, 0x8000_001d, cache).eax >> 14 & 0xfff);
            assert_eq!(sharing, [0, cpus - 1]);
        }
    }
}

#[test]
fn bits_follow_control_registers() {
    let table = four(0);
    // CR4, XCR0; leaf 1 OSXSAVE, leaf 7 OSPKE, 0Dh.0 EBX.
    let cases = [
        (0, 1, 0, 0, 576),
        (1 << 18, 3, 1, 0, 576),
        (1 << 22, 7, 0, 1, 0x340),
        (1 << 18 | 1 << 22, 0x207, 1, 1, 0x988),
        (0, u64::MAX, 0, 0, 0x988),
    ];
    for (cr4, xcr0, osxsave, ospke, size) in cases {
        let live = Live { cr4, xcr0, ..Live::default() };
        assert_eq!(table.lookup(1, 0, &live).ecx >> 27 & 1, osxsave);
        assert_eq!(table.lookup(7, 0, &live).ecx >> 4 & 1, ospke);
        let main = table.lookup(0x0d, 0, &live);
        assert_eq!((main.eax, main.ebx, main.ecx, main.edx), (0x207, size, 0x988, 0));
    }
    let compacted = table.lookup(0x0d, 1, &Live { cr4: 0, xcr0: 0x207, ..Live::default() });
    assert_eq!((compacted.eax, compacted.ebx), (7, 576 + 0x100 + 8));
    assert_eq!(table.allowed_xcr0(), 0x207);
}

#[test]
fn protection_keys_go_with_their_state() {
    let table = table(&CpuidPolicy { protection_keys: false, ..CpuidPolicy::new(0, 4, TSC_HZ) });
    let live = Live { cr4: 1 << 22, xcr0: 7, ..Live::default() };
    assert_eq!(table.lookup(7, 0, &live).ecx & 3 << 3, 0);
    assert_eq!(table.allowed_xcr0(), 7);
}

/// A host without XSAVE, or whose areas make no sense, gives a guest without what depends on them.
#[test]
fn features_fall_with_their_state() {
    // Change to the host; allowed XCR0; leaf 1 ECX bits 26 to 28; leaf 7 EBX bit 5.
    type Change = fn(u32, u32, Leaf) -> Leaf;
    let cases: [(&str, Change, u64, u32, u32); 5] = [
        ("as it is", |_, _, leaf| leaf, 0x207, 7, 1),
        ("no XSAVE", |l, _, h| if l == 1 { Leaf { ecx: h.ecx & !(1 << 26), ..h } } else { h }, 0, 0, 0),
        ("no leaf 0Dh", |l, _, h| if l == 0 { Leaf { eax: 7, ..h } } else { h }, 0, 0, 0),
        (
            "AVX area too far",
            |l, s, h| if (l, s) == (13, 2) { Leaf { ebx: u32::MAX, ..h } } else { h },
            0x203,
            3,
            0,
        ),
        ("AVX-512 in part", |l, s, h| if (l, s) == (13, 0) { Leaf { eax: 0xe7, ..h } } else { h }, 7, 7, 1),
    ];
    for (name, change, xcr0, leaf_1, avx2) in cases {
        let mut host = |leaf, subleaf| change(leaf, subleaf, epyc(leaf, subleaf));
        let table = CpuidTable::new(&mut host, &CpuidPolicy::new(0, 1, TSC_HZ));
        assert_eq!(table.allowed_xcr0(), xcr0, "{name}");
        assert_eq!(ask(&table, 1, 0).ecx >> 26 & 7, leaf_1, "{name}");
        assert_eq!(ask(&table, 7, 0).ebx >> 5 & 1, avx2, "{name}");
    }
}

#[test]
fn policy_switches() {
    let policy = CpuidPolicy {
        tsc_aux: true,
        invariant_tsc: false,
        physical_bits: 40,
        ..CpuidPolicy::new(0, 1, TSC_HZ)
    };
    let table = table(&policy);
    assert_eq!(ask(&table, 7, 0).ecx >> 22 & 1, 1);
    assert_eq!(ask(&table, 0x8000_0001, 0).edx >> 27 & 1, 1);
    assert_eq!(ask(&table, 0x8000_0007, 0).edx, 0);
    assert_eq!(ask(&table, 0x8000_0008, 0).eax, 40 | 48 << 8);
}

#[test]
fn intel_has_its_own_leaves() {
    let mut host = |leaf, subleaf| match (leaf, subleaf) {
        (0, _) => Leaf { eax: 0x16, ebx: 0x756e_6547, ecx: 0x6c65_746e, edx: 0x4965_6e69 },
        (4, 0) => Leaf { eax: 0x1c00_4121, ebx: 0x01c0_003f, ecx: 63, edx: 0 },
        (4, 3) => Leaf { eax: 0x1c03_c163, ebx: 0x02c0_003f, ecx: 0x2fff, edx: 6 },
        (4, 1 | 2) => Leaf { eax: 0x1c00_4143, ebx: 0x01c0_003f, ecx: 63, edx: 0 },
        (4, _) => Leaf::default(),
        _ => epyc(leaf, subleaf),
    };
    let table = CpuidTable::new(&mut host, &CpuidPolicy::new(0, 4, TSC_HZ));
    let caches = [0, 3].map(|i| ask(&table, 4, i).eax);
    assert_eq!(caches, [0x0c00_0121, 0x0c00_c163]);
    assert_eq!(ask(&table, 4, 4), Leaf::default());
    for leaf in [0x8000_001d, 0x8000_001e, 0x8000_001a] {
        assert_eq!(ask(&table, leaf, 0), Leaf::default());
    }
    assert_eq!(ask(&table, 0x8000_0001, 0).ecx & (1 << 22 | 2), 0);
}

#[test]
fn tsc_ratio_is_near_and_fits_linux() {
    for hz in [
        1_000_000,
        24_999_999,
        25_000_000,
        100_000_000,
        999_999_999,
        2_000_000_000,
        TSC_HZ,
        4_700_000_001,
        5_999_999_999,
    ] {
        let (denominator, numerator) = crystal_ratio(hz, CRYSTAL_HZ);
        let made = u64::from(CRYSTAL_HZ) * u64::from(numerator) / u64::from(denominator);
        assert!(made.abs_diff(hz) * 100_000 <= hz, "{hz}: {numerator}/{denominator} is {made}");
        // As Linux computes it, in 32 bits.
        let khz = (CRYSTAL_HZ / 1000).checked_mul(numerator).unwrap() / denominator;
        assert!(u64::from(khz).abs_diff(hz / 1000) * 50_000 <= hz, "{hz}");
    }
    // The smallest denominator with the least error, and a numerator that Linux can multiply: 171,798 is the
    // largest.
    let of = |numerator: u64, denominator: u64| u64::from(CRYSTAL_HZ) * numerator / denominator;
    for (hz, ratio) in [
        (of(100, 1), (1, 100)),
        (of(100, 1) + 1, (1, 100)),
        (of(100_003, 1009), (1009, 100_003)),
        (of(171_798, 4001), (4001, 171_798)),
        (1, (1, 1)),
    ] {
        assert_eq!(crystal_ratio(hz, CRYSTAL_HZ), ratio, "{hz}");
    }
    for numerator in [171_799, 960_241] {
        assert!(crystal_ratio(of(numerator, 4001), CRYSTAL_HZ).1 < 171_799, "{numerator}");
    }
    for (hz, crystal) in [(0, 0), (u64::MAX, 0), (u64::MAX, u32::MAX), (0, u32::MAX)] {
        let (denominator, _) = crystal_ratio(hz, crystal);
        assert_ne!(denominator, 0);
    }
    let frequency = ask(&four(0), 0x16, 0);
    assert_eq!((frequency.eax, frequency.ecx), (2999, 100));
    assert_eq!(ask(&four(0), 0x15, 0).ecx, CRYSTAL_HZ);
}

/// Whatever the host says, only bits of the allow-list come through, and nothing panics.
#[test]
fn a_hostile_host_gets_nothing_past_the_list() {
    let mut random = Random(9);
    for round in 0..2000 {
        let mut host = |_, _| match round {
            0 => Leaf { eax: u32::MAX, ebx: u32::MAX, ecx: u32::MAX, edx: u32::MAX },
            1 => Leaf::default(),
            _ => Leaf {
                eax: random.next() as u32,
                ebx: random.next() as u32 >> (round % 33).min(31),
                ecx: random.next() as u32,
                edx: random.next() as u32,
            },
        };
        let table = CpuidTable::new(&mut host, &CpuidPolicy::new(1, round as u32, u64::from(round as u32)));
        let live = Live { cr4: 0, xcr0: u64::MAX, ..Live::default() };
        let (one, seven, d) =
            (table.lookup(1, 0, &live), table.lookup(7, 0, &live), table.lookup(0x0d, 0, &live));
        let extended = table.lookup(0x8000_0001, 0, &live);
        assert_eq!(one.ecx & !(f::LEAF1_ECX | f::LEAF1_ECX_EMULATED), 0);
        assert_eq!(one.edx & !(f::LEAF1_EDX | f::LEAF1_EDX_EMULATED | f::LEAF1_EDX_HTT), 0);
        assert_eq!(
            (
                seven.ebx & !(f::LEAF7_EBX | f::LEAF7_EBX_EMULATED),
                seven.ecx & !f::LEAF7_ECX,
                seven.edx & !f::LEAF7_EDX
            ),
            (0, 0, 0)
        );
        assert_eq!(extended.ecx & 1 << 2, 0);
        assert!(d.ebx <= 8192 && d.ecx <= 8192 && u64::from(d.eax) & !f::XCR0 == 0);
        for leaf in (0..0x30).chain(0x8000_0000..0x8000_0030) {
            for subleaf in [0, 1, 2, 9, 10, 63, u32::MAX] {
                table.lookup(leaf, subleaf, &live);
            }
        }
    }
}

/// CR4 offers what CPUID does, and XCR0 what there is room for.
#[test]
fn registers_follow_features() {
    type Change = fn(u32, u32, Leaf) -> Leaf;
    // Without UMIP (11), which this host lacks. PCIDE (17), LA57 (12), CET (23) and PKS (24) are never
    // offered.
    let all = 0x7ff | 1 << 16 | 1 << 18 | 1 << 20 | 1 << 21 | 1 << 22;
    let cases: [(&str, Change, u64); 5] = [
        ("as it is", |_, _, leaf| leaf, all),
        (
            "everything",
            |l, _, h| if l == 7 || l == 1 { Leaf { ebx: !0, ecx: !0, edx: !0, ..h } } else { h },
            all | 1 << 11,
        ),
        (
            "no SMEP",
            |l, _, h| if l == 7 { Leaf { ebx: h.ebx & !(1 << 7), ..h } } else { h },
            all & !(1 << 20),
        ),
        (
            "no XSAVE",
            |l, _, h| if l == 1 { Leaf { ecx: h.ecx & !(1 << 26), ..h } } else { h },
            all & !(1 << 18 | 1 << 22),
        ),
        ("nothing", |l, _, h| if l == 1 || l == 7 { Leaf::default() } else { h }, 1 << 8),
    ];
    for (name, change, cr4) in cases {
        let mut host = |leaf, subleaf| change(leaf, subleaf, epyc(leaf, subleaf));
        let table = CpuidTable::new(&mut host, &CpuidPolicy::new(0, 1, TSC_HZ));
        let allowed = table.allowed_cr4();
        assert_eq!(allowed, cr4, "{name}: {allowed:#x}, {:#x}", allowed ^ cr4);
    }
    let policy = |xsave_bytes| CpuidPolicy { xsave_bytes, ..CpuidPolicy::new(0, 1, TSC_HZ) };
    for (room, xcr0) in [(8192, 0x207), (0x988, 0x207), (0x987, 7), (832, 7), (831, 3), (0, 3)] {
        assert_eq!(table(&policy(room)).allowed_xcr0(), xcr0, "{room}");
    }
}

/// With the local APIC switched off in its base register, CPUID does not show it, in neither place.
#[test]
fn the_apic_bit_follows_the_base_register() {
    const APIC: u32 = 1 << 9;
    let mut table = four(0);
    // Whether the short way has followed yet or not.
    let off = Live { is_apic_off: true, ..Live::default() };
    assert_eq!([1, 0x8000_0001].map(|leaf| table.lookup(leaf, 0, &off).edx & APIC), [0; 2]);
    for (is_apic_off, expected) in [(false, APIC), (true, 0), (false, APIC)] {
        let live = Live { is_apic_off, ..Live::default() };
        table.follow_apic(is_apic_off);
        let plain = table.plain(0x8000_0001).map(|leaf| leaf.edx & APIC);
        assert_eq!(plain, (!is_apic_off).then_some(APIC), "{is_apic_off}");
        for leaf in [1, 0x8000_0001] {
            assert_eq!(table.lookup(leaf, 0, &live).edx & APIC, expected, "{leaf:x}");
        }
    }
}
