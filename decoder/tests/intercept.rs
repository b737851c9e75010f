//! Lengths of intercepted instructions.

use decoder::Mode::{Bits16, Bits32, Bits64};
use decoder::{Intercept, intercept_length};

#[test]
fn lengths() {
    let table: &[(Intercept, &[u8], decoder::Mode, Option<u8>)] = &[
        (Intercept::Cpuid, &[0x0f, 0xa2, 0x90], Bits64, Some(2)),
        (Intercept::Cpuid, &[0x66, 0x48, 0x0f, 0xa2], Bits64, Some(4)),
        (Intercept::Cpuid, &[0x48, 0x0f, 0xa2], Bits32, None),
        (Intercept::Cpuid, &[0x0f], Bits64, None),
        (Intercept::Cpuid, &[], Bits64, None),
        (Intercept::Cpuid, &[0x0f, 0x32], Bits64, None),
        (Intercept::Rdmsr, &[0x0f, 0x32], Bits32, Some(2)),
        (Intercept::Wrmsr, &[0x0f, 0x30], Bits16, Some(2)),
        (Intercept::Rdtsc, &[0x0f, 0x31], Bits64, Some(2)),
        (Intercept::Rdpmc, &[0x0f, 0x33], Bits64, Some(2)),
        (Intercept::Invd, &[0x0f, 0x08], Bits64, Some(2)),
        (Intercept::Clts, &[0x0f, 0x06], Bits64, Some(2)),
        (Intercept::Xsetbv, &[0x0f, 0x01, 0xd1], Bits64, Some(3)),
        (Intercept::Monitor, &[0x0f, 0x01, 0xc8], Bits64, Some(3)),
        (Intercept::Mwait, &[0x0f, 0x01, 0xc9], Bits64, Some(3)),
        (Intercept::Vmmcall, &[0x0f, 0x01, 0xc1], Bits64, None),
        (Intercept::Hlt, &[0xf4], Bits64, Some(1)),
        (Intercept::Pause, &[0xf3, 0x90], Bits64, Some(2)),
        (Intercept::Vmmcall, &[0x0f, 0x01, 0xd9], Bits64, Some(3)),
        (Intercept::Rdtscp, &[0x0f, 0x01, 0xf9], Bits64, Some(3)),
        (Intercept::Wbinvd, &[0xf3, 0x0f, 0x09], Bits64, Some(3)),
        (Intercept::Io, &[0xee], Bits64, Some(1)),
        (Intercept::Io, &[0xe4, 0x71], Bits64, Some(2)),
        (Intercept::Io, &[0xe4], Bits64, None),
        (Intercept::Io, &[0xf3, 0x67, 0x66, 0x6d], Bits32, Some(4)),
        (Intercept::Io, &[0x90], Bits64, None),
        (Intercept::Interrupt, &[0xcc], Bits64, Some(1)),
        (Intercept::Interrupt, &[0xce], Bits32, Some(1)),
        (Intercept::Interrupt, &[0xf1], Bits64, Some(1)),
        (Intercept::Interrupt, &[0x66, 0xcd, 0x80], Bits64, Some(3)),
        (Intercept::Interrupt, &[0xcd], Bits64, None),
        (Intercept::Interrupt, &[0xcf], Bits64, None),
        (Intercept::Hlt, &[0x66; 15], Bits64, None),
    ];
    for &(intercept, bytes, mode, expected) in table {
        assert_eq!(intercept_length(intercept, bytes, mode), expected, "{intercept:?} {bytes:02x?}");
    }
}

#[test]
fn no_length_beyond_fifteen() {
    let mut bytes = [0x66; 16];
    bytes[14..].copy_from_slice(&[0x0f, 0xa2]);
    assert_eq!(intercept_length(Intercept::Cpuid, &bytes, Bits64), None);
    assert_eq!(intercept_length(Intercept::Cpuid, &bytes[1..], Bits64), Some(15));
}
