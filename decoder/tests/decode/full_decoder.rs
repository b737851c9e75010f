//! A full decoder agrees with everything that is accepted.

use decoder::{Mode, Processor, Rejection, Vendor, decode};
use decoder_oracle::full;
use decoder_oracle::random::Random;

const MODES: [Mode; 3] = [Mode::Bits16, Mode::Bits32, Mode::Bits64];
const PROCESSORS: [Processor; 2] = [Processor::full(Vendor::Amd), Processor::full(Vendor::Intel)];
const PREFIXES: [u8; 17] =
    [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x40, 0x41, 0x42, 0x44, 0x48, 0x4f];

/// Whether the bytes were accepted; panics if the full decoder disagrees.
fn check(bytes: &[u8], mode: Mode, processor: Processor) -> bool {
    match decode(bytes, mode, processor) {
        Ok(ours) => {
            let difference = full::difference(&ours, bytes);
            assert_eq!(difference, None, "{mode:?} {bytes:02x?}\n{ours:?}\n{:?}", full::decode(bytes, mode));
            true
        }
        Err(Rejection::Truncated) => {
            assert!(bytes.len() < 15, "{bytes:02x?}");
            false
        }
        Err(_) => false,
    }
}

/// Every opcode of the three maps with every ModRM byte, alone and behind one and two prefixes.
#[test]
fn structured() {
    let mut random = Random::new(1);
    let mut accepted = 0;
    for mode in MODES {
        for opcode in 0..0x300_u32 {
            for modrm in 0..=0xff {
                for prefixes in 0..6 {
                    let mut bytes: Vec<u8> = (0..prefixes / 2).map(|_| random.choose(&PREFIXES)).collect();
                    bytes.extend([&[][..], &[0x0f], &[0x0f, 0x38]][opcode as usize >> 8]);
                    bytes.extend([opcode as u8, modrm]);
                    bytes.extend(random.bits().to_le_bytes());
                    bytes.extend(random.bits().to_le_bytes());
                    accepted += u32::from(check(&bytes, mode, PROCESSORS[prefixes % 2]));
                }
            }
        }
    }
    assert!(accepted > 300_000, "{accepted}");
}

#[test]
fn random() {
    let mut random = Random::new(2);
    let mut accepted = 0;
    for _ in 0..1_000_000 {
        let mut bytes = [random.bits().to_le_bytes(), random.bits().to_le_bytes()].concat();
        for byte in bytes.iter_mut().take(3) {
            if random.below(4) == 0 {
                *byte = random.choose(&PREFIXES);
            }
        }
        bytes.truncate(random.below(17) as usize);
        accepted += u32::from(check(&bytes, random.choose(&MODES), random.choose(&PROCESSORS)));
    }
    assert!(accepted > 50_000, "{accepted}");
}

/// Whatever is accepted is truncated if a byte is missing, and not if bytes are added.
#[test]
fn lengths_are_exact() {
    let mut random = Random::new(3);
    for _ in 0..200_000 {
        let bytes = [random.bits().to_le_bytes(), random.bits().to_le_bytes()].concat();
        let (mode, processor) = (random.choose(&MODES), random.choose(&PROCESSORS));
        if let Ok(instruction) = decode(&bytes, mode, processor) {
            let length = usize::from(instruction.length);
            assert_eq!(decode(&bytes[..length], mode, processor), Ok(instruction));
            for shorter in 0..length {
                assert_eq!(
                    decode(&bytes[..shorter], mode, processor),
                    Err(Rejection::Truncated),
                    "{bytes:02x?}"
                );
            }
        }
    }
}
