//! Lengths of intercepted instructions, without decoding more than is needed.
//!
//! An intercept names its instruction; only the length is missing. These instructions are prefixes and an
//! opcode (IN and OUT may have an immediate byte), so a scan is enough. The bytes are the guest's and may
//! have been rewritten since: if they don't hold the instruction, there is no length, and the guest is to be
//! run again.

use crate::Mode;
use crate::decode::MAX_LENGTH;

/// An intercepted instruction whose length is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the manuals' mnemonics")]
pub enum Intercept {
    Cpuid,
    Rdmsr,
    Wrmsr,
    Rdtsc,
    Rdtscp,
    Rdpmc,
    Hlt,
    Pause,
    Vmmcall,
    Xsetbv,
    Invd,
    /// WBINVD, and WBNOINVD with an F3 prefix.
    Wbinvd,
    Clts,
    Monitor,
    Mwait,
    /// INT n, INT3, INTO and INT1.
    Interrupt,
    /// IN, OUT, INS and OUTS: no ModRM, an immediate byte in four of them.
    Io,
}

/// The length in bytes of the instruction at the start of `bytes`, if it is `intercept`.
#[inline]
pub fn intercept_length(intercept: Intercept, bytes: &[u8], mode: Mode) -> Option<u8> {
    // Prefixes are rare here. None of them can be taken for an opcode.
    let opcode = if suffix_length(intercept, bytes).is_some() { 0 } else { skip_prefixes(bytes, mode)? };
    let length = opcode + suffix_length(intercept, bytes.get(usize::from(opcode)..)?)?;
    // Prefixes without end make it longer than an instruction may be, or than what was fetched.
    (length <= MAX_LENGTH && usize::from(length) <= bytes.len()).then_some(length)
}

/// The index of the opcode, at most 14. A REX prefix only counts right before the opcode, but where it stands
/// makes no difference to the length.
#[inline]
fn skip_prefixes(bytes: &[u8], mode: Mode) -> Option<u8> {
    // Every opcode looked for but those of IN, OUT, INS, OUTS and INT starts with 0F, F4 or 90.
    let is_prefix = |byte: u8| match byte {
        0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3 => true,
        0x40..=0x4f => mode == Mode::Bits64,
        _ => false,
    };
    (0..MAX_LENGTH).zip(bytes).find(|&(_, &byte)| !is_prefix(byte)).map(|(index, _)| index)
}

/// The length from the opcode on. No prefix of [`skip_prefixes`] is part of it: PAUSE's F3 has been skipped.
#[inline]
fn suffix_length(intercept: Intercept, rest: &[u8]) -> Option<u8> {
    // The opcode is compared, not taken for granted: another vCPU may have put other code there.
    let two_byte = |second: u8| (rest.starts_with(&[0x0f, second])).then_some(2);
    let three_byte = |third: u8| (rest.starts_with(&[0x0f, 0x01, third])).then_some(3);
    match intercept {
        Intercept::Cpuid => two_byte(0xa2),
        Intercept::Rdmsr => two_byte(0x32),
        Intercept::Wrmsr => two_byte(0x30),
        Intercept::Rdtsc => two_byte(0x31),
        Intercept::Rdpmc => two_byte(0x33),
        Intercept::Invd => two_byte(0x08),
        Intercept::Wbinvd => two_byte(0x09),
        Intercept::Clts => two_byte(0x06),
        Intercept::Rdtscp => three_byte(0xf9),
        Intercept::Vmmcall => three_byte(0xd9),
        Intercept::Xsetbv => three_byte(0xd1),
        Intercept::Monitor => three_byte(0xc8),
        Intercept::Mwait => three_byte(0xc9),
        Intercept::Hlt => rest.starts_with(&[0xf4]).then_some(1),
        Intercept::Pause => rest.starts_with(&[0x90]).then_some(1),
        Intercept::Interrupt => match rest.first()? {
            0xcc | 0xce | 0xf1 => Some(1),
            0xcd => Some(2),
            _ => None,
        },
        Intercept::Io => match rest.first()? {
            // INS, OUTS, and the port in DX.
            0x6c..=0x6f | 0xec..=0xef => Some(1),
            // The port in a byte.
            0xe4..=0xe7 => Some(2),
            _ => None,
        },
    }
}
