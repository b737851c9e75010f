//! What the guest's CPUID says: the maker, and what there is. Nothing that it does not offer is decoded.

use decoder::{Features, Mode, Processor, Rejection, Vendor, decode};

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
            Processor::from_cpuid(leaf_0(name), [0; 4]),
            Processor { vendor, features: Features::empty() }
        );
    }
}

/// An instruction, what it needs, and where leaf 1 says so: bit, and whether of ECX or of EDX.
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

#[test]
fn what_is_not_offered_is_undefined() {
    for &(code, needs, bit, is_ecx) in INSTRUCTIONS {
        let leaf_1 = |value: u32| if is_ecx { [0, 0, value, 0] } else { [0, 0, 0, value] };
        let decode =
            |leaf_1| decode(code, Mode::Bits64, Processor::from_cpuid(leaf_0(b"AuthenticAMD"), leaf_1));
        assert!(decode(leaf_1(1 << bit)).is_ok(), "{code:02x?}");
        assert!(decode([u32::MAX; 4]).is_ok(), "{code:02x?}");
        assert_eq!(decode(leaf_1(!(1 << bit))), Err(Rejection::Undefined), "{code:02x?}");
        let other = if is_ecx { [!0, !0, !(1 << bit), !0] } else { [!0, !0, !0, !(1 << bit)] };
        assert_eq!(decode(other), Err(Rejection::Undefined), "{code:02x?}");
        let without = Processor { vendor: Vendor::Intel, features: Features::all() - needs };
        assert_eq!(super::decode_for(code, without), Err(Rejection::Undefined), "{code:02x?}");
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
