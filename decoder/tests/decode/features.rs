//! What the guest's CPUID says: the maker, and what there is. Nothing that it does not offer is decoded.

use decoder::{Features, Mode, Operation, Processor, Rejection, Vendor, decode};

/// EAX, EBX, ECX, EDX of leaf 0.
fn leaf_0(name: &[u8; 12]) -> [u32; 4] {
    let word = |at: usize| u32::from_le_bytes(core::array::from_fn(|index| name[at + index]));
    [0x10, word(0), word(8), word(4)]
}

#[test]
fn makers() {
    for (name, vendor) in [
        (b"AuthenticAMD", Vendor::Amd),
        (b"HygonGenuine", Vendor::Amd),
        (b"GenuineIntel", Vendor::Intel),
        (b"CentaurHauls", Vendor::Intel),
        (b"\0\0\0\0\0\0\0\0\0\0\0\0", Vendor::Intel),
    ] {
        assert_eq!(
            Processor::from_cpuid(|leaf| if leaf == 0 { leaf_0(name) } else { [0; 4] }),
            Processor { vendor, features: Features::empty() }
        );
    }
}

/// Of leaf 1, 7, and 8000_0001h.
const EBX: usize = 1;
const ECX: usize = 2;
const EDX: usize = 3;
const EXTENDED: u32 = 0x8000_0001;

/// An instruction, what it needs, and the bit of ECX or EDX of leaf 1 that says so.
const INSTRUCTIONS: &[(&[u8], Features, u32, bool)] = &[
    (&[0x0f, 0xc7, 0x0f], Features::CX8, 8, false),
    (&[0xf0, 0x0f, 0xc7, 0x0f], Features::CX8, 8, false),
    (&[0x48, 0x0f, 0xc7, 0x0f], Features::CX16, 13, true),
    (&[0xf0, 0x48, 0x0f, 0xc7, 0x0f], Features::CX16, 13, true),
    (&[0x0f, 0x38, 0xf0, 0x07], Features::MOVBE, 22, true),
    (&[0x66, 0x0f, 0x38, 0xf0, 0x07], Features::MOVBE, 22, true),
    (&[0x0f, 0x38, 0xf1, 0x07], Features::MOVBE, 22, true),
    (&[0x0f, 0x10, 0x07], Features::SSE, 25, false),
    (&[0x0f, 0x11, 0x07], Features::SSE, 25, false),
    (&[0x0f, 0x28, 0x07], Features::SSE, 25, false),
    (&[0x0f, 0x29, 0x07], Features::SSE, 25, false),
    (&[0x0f, 0x2b, 0x07], Features::SSE, 25, false),
    (&[0x66, 0x0f, 0x10, 0x07], Features::SSE2, 26, false),
    (&[0x66, 0x0f, 0x11, 0x07], Features::SSE2, 26, false),
    (&[0x66, 0x0f, 0x28, 0x07], Features::SSE2, 26, false),
    (&[0x66, 0x0f, 0x29, 0x07], Features::SSE2, 26, false),
    (&[0x66, 0x0f, 0x2b, 0x07], Features::SSE2, 26, false),
    (&[0x66, 0x0f, 0x6e, 0x07], Features::SSE2, 26, false),
    (&[0x66, 0x0f, 0x6f, 0x07], Features::SSE2, 26, false),
    (&[0xf3, 0x0f, 0x6f, 0x07], Features::SSE2, 26, false),
    (&[0x66, 0x0f, 0x7e, 0x07], Features::SSE2, 26, false),
    (&[0xf3, 0x0f, 0x7e, 0x07], Features::SSE2, 26, false),
    (&[0x66, 0x0f, 0x7f, 0x07], Features::SSE2, 26, false),
    (&[0xf3, 0x0f, 0x7f, 0x07], Features::SSE2, 26, false),
    (&[0x66, 0x0f, 0xd6, 0x07], Features::SSE2, 26, false),
    (&[0x66, 0x0f, 0xe7, 0x07], Features::SSE2, 26, false),
    (&[0x0f, 0xc3, 0x07], Features::SSE2, 26, false),
    (&[0x66, 0x0f, 0x38, 0x2a, 0x07], Features::SSE4_1, 19, true),
];

/// Those that a full decoder reads: an instruction, what it needs, and the leaf, register and bit that say
/// so.
const RARE: &[(&[u8], Features, u32, usize, u32)] = &[
    (&[0x0f, 0x6f, 0x07], Features::MMX, 1, EDX, 23),
    (&[0x0f, 0x7e, 0x07], Features::MMX, 1, EDX, 23),
    (&[0x0f, 0xe7, 0x07], Features::SSE, 1, EDX, 25),
    (&[0x0f, 0x12, 0x07], Features::SSE, 1, EDX, 25),
    (&[0xf3, 0x0f, 0x10, 0x07], Features::SSE, 1, EDX, 25),
    (&[0x66, 0x0f, 0x16, 0x07], Features::SSE2, 1, EDX, 26),
    (&[0xf2, 0x0f, 0x11, 0x07], Features::SSE2, 1, EDX, 26),
    (&[0xf2, 0x0f, 0xf0, 0x07], Features::SSE3, 1, ECX, 0),
    (&[0xf2, 0x0f, 0x38, 0xf1, 0x07], Features::SSE4_2, 1, ECX, 20),
    (&[0xf3, 0x0f, 0xb8, 0x07], Features::POPCNT, 1, ECX, 23),
    (&[0xc4, 0xe2, 0x60, 0xf2, 0x07], Features::BMI1, 7, EBX, 3),
    (&[0xc4, 0xe2, 0x60, 0xf7, 0x07], Features::BMI1, 7, EBX, 3),
    (&[0xc4, 0xe2, 0x60, 0xf3, 0x0f], Features::BMI1, 7, EBX, 3),
    (&[0xc4, 0xe2, 0x60, 0xf3, 0x17], Features::BMI1, 7, EBX, 3),
    (&[0xc4, 0xe2, 0x60, 0xf3, 0x1f], Features::BMI1, 7, EBX, 3),
    (&[0xc4, 0xe2, 0x60, 0xf5, 0x07], Features::BMI2, 7, EBX, 8),
    (&[0xc4, 0xe2, 0x62, 0xf5, 0x07], Features::BMI2, 7, EBX, 8),
    (&[0xc4, 0xe2, 0x63, 0xf5, 0x07], Features::BMI2, 7, EBX, 8),
    (&[0xc4, 0xe2, 0x63, 0xf6, 0x07], Features::BMI2, 7, EBX, 8),
    (&[0xc4, 0xe2, 0x61, 0xf7, 0x07], Features::BMI2, 7, EBX, 8),
    (&[0xc4, 0xe2, 0x62, 0xf7, 0x07], Features::BMI2, 7, EBX, 8),
    (&[0xc4, 0xe2, 0x63, 0xf7, 0x07], Features::BMI2, 7, EBX, 8),
    (&[0xc4, 0xe3, 0x7b, 0xf0, 0x07, 5], Features::BMI2, 7, EBX, 8),
    (&[0x66, 0x0f, 0x38, 0xf6, 0x07], Features::ADX, 7, EBX, 19),
    (&[0xf3, 0x0f, 0x38, 0xf6, 0x07], Features::ADX, 7, EBX, 19),
    (&[0x0f, 0x38, 0xf9, 0x07], Features::MOVDIRI, 7, ECX, 27),
    (&[0xf3, 0x0f, 0x2b, 0x07], Features::SSE4A, EXTENDED, ECX, 6),
    (&[0xf2, 0x0f, 0x2b, 0x07], Features::SSE4A, EXTENDED, ECX, 6),
];

/// A processor on which one leaf is this, and every other one zeros.
fn with_leaf(leaf: u32, value: [u32; 4]) -> Processor {
    Processor::from_cpuid(|asked| match asked {
        0 => leaf_0(b"AuthenticAMD"),
        _ if asked == leaf => value,
        _ => [0; 4],
    })
}

#[test]
fn what_is_not_offered_is_undefined() {
    let short = INSTRUCTIONS
        .iter()
        .map(|&(code, needs, bit, is_ecx)| (code, needs, 1, if is_ecx { ECX } else { EDX }, bit));
    for (code, needs, leaf, register, bit) in short.chain(RARE.iter().copied()) {
        let decode = |value| decode(code, Mode::Bits64, with_leaf(leaf, value));
        let mut only = [0; 4];
        only[register] = 1 << bit;
        assert!(decode(only).is_ok(), "{code:02x?}");
        assert!(decode([u32::MAX; 4]).is_ok(), "{code:02x?}");
        assert_eq!(decode([0; 4]), Err(Rejection::Undefined), "{code:02x?}");
        let mut other = [u32::MAX; 4];
        other[register] &= !(1 << bit);
        assert_eq!(decode(other), Err(Rejection::Undefined), "{code:02x?}");
        let without = Processor { vendor: Vendor::Intel, features: Features::all() - needs };
        assert_eq!(super::decode_for(code, without), Err(Rejection::Undefined), "{code:02x?}");
    }
}

/// With a prefix that a processor without them ignores, TZCNT and LZCNT are BSF and BSR.
#[test]
fn bit_scans_take_the_place_of_counts() {
    let bare = Processor { vendor: Vendor::Amd, features: Features::empty() };
    for (code, without, with) in [
        (&[0xf3, 0x0f, 0xbc, 0x07], Operation::Bsf, Operation::Tzcnt),
        (&[0xf3, 0x0f, 0xbd, 0x07], Operation::Bsr, Operation::Lzcnt),
    ] {
        assert_eq!(super::decode_for(code, bare).unwrap().operation, without);
        assert_eq!(super::decode_for(code, Processor::full(Vendor::Amd)).unwrap().operation, with);
    }
}

/// What every processor has that can run a guest is there with nothing in CPUID.
#[test]
fn the_rest_needs_nothing() {
    for code in [&[0x89, 0x07][..], &[0xf0, 0x0f, 0xb1, 0x07], &[0xf0, 0x0f, 0xc1, 0x07], &[0xf3, 0xa5]] {
        let bare = Processor { vendor: Vendor::Amd, features: Features::empty() };
        assert!(super::decode_for(code, bare).is_ok(), "{code:02x?}");
    }
}
