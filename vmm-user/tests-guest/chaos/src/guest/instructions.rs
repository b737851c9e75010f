//! Random instructions: any opcode with any prefixes and operands, at any privilege.

use super::code::Code;
use super::machine::{read, write};
use super::random::Random;

/// What follows an opcode.
#[derive(Clone, Copy)]
enum Tail {
    Nothing,
    ModRm,
    ModRmImm8,
    ModRmImm32,
    Imm8,
    Imm16,
    Imm32,
    Offset,
}

/// Opcodes that exit, or change what exits mean; they come as often as all others together.
const FAVOURITES: &[u8] = &[
    0x6c, 0x6d, 0x6e, 0x6f, 0xa4, 0xa5, 0xaa, 0xab, 0xa6, 0xa7, 0xac, 0xad, 0xae, 0xaf, 0xec, 0xed, 0xee,
    0xef, 0xe4, 0xe5, 0xf4, 0xfa, 0xfb, 0x9c, 0x9d, 0xcf, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0xc6, 0xc7,
    0xa0, 0xa1, 0xa2, 0xa3, 0x00, 0x01, 0x80, 0x81, 0x83, 0xf6, 0xf7, 0xfe, 0xff, 0x8e, 0x90, 0xcc, 0xf1,
    0x8f, 0x50, 0x58, 0xc3, 0xcb,
];
const FAVOURITES_0F: &[u8] = &[
    0xa2, 0x30, 0x32, 0x31, 0x01, 0x20, 0x22, 0x21, 0x23, 0x06, 0x08, 0x09, 0xb0, 0xb1, 0xc0, 0xc1, 0xc7,
    0xb6, 0xb7, 0xbe, 0xbf, 0xa3, 0xab, 0xb3, 0xbb, 0xba, 0x10, 0x11, 0x28, 0x29, 0x6f, 0x7f, 0x6e, 0x7e,
    0xd6, 0xae, 0x05, 0x07, 0x34, 0x35, 0xa8, 0xa9, 0xb2, 0xc3, 0x0b, 0x18, 0x33, 0x00,
];
const PREFIXES: &[u8] =
    &[0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x48, 0x44, 0x41, 0x4f, 0x40];
/// Opcodes behind 0F 38, 0F 3A and C5 that exist. QEMU 7.2's translator ends QEMU at some that do not (0F 38
/// 0C without VEX, for one), whoever executes them.
const KNOWN_0F38: &[u8] = &[
    0x00, 0x01, 0x02, 0x08, 0x0a, 0x10, 0x14, 0x17, 0x1c, 0x1e, 0x20, 0x25, 0x28, 0x2a, 0x2b, 0x30, 0x35,
    0x38, 0x3f, 0x40, 0x41, 0xdb, 0xdc, 0xf0, 0xf1, 0xf6,
];
const KNOWN_0F3A: &[u8] =
    &[0x08, 0x0a, 0x0c, 0x0f, 0x14, 0x15, 0x16, 0x17, 0x20, 0x21, 0x22, 0x40, 0x44, 0x60, 0x63];
const KNOWN_VEX: &[u8] =
    &[0x10, 0x11, 0x28, 0x29, 0x58, 0x59, 0x6f, 0x7f, 0x6e, 0x7e, 0xd6, 0xef, 0xfe, 0x77];
/// What code is changed to: whole instructions, prefixes and operands, but nothing that makes of what follows
/// one of the opcodes that are left out above.
pub const BYTES: &[u8] = &[
    0x00, 0x01, 0x06, 0x07, 0x0b, 0x26, 0x2e, 0x30, 0x40, 0x44, 0x48, 0x64, 0x65, 0x66, 0x67, 0x6c, 0x6d,
    0x6e, 0x6f, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8e, 0x90, 0x9d, 0xa2, 0xa4, 0xa5, 0xaa, 0xab, 0xac,
    0xc3, 0xcc, 0xcf, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf2, 0xf3, 0xf4, 0xfa, 0xfb, 0xff,
];
/// Ports that an immediate operand may name: those behind which nothing ends the machine or the watch.
const SAFE_PORTS: &[u8] = &[0x60, 0x61, 0x70, 0x71, 0x80, 0x20, 0xa0, 0x00, 0xb2, 0xf4];

fn tail(opcode: u8) -> Tail {
    match opcode {
        0x00..=0x3f => match opcode & 7 {
            0..=3 => Tail::ModRm,
            4 => Tail::Imm8,
            5 => Tail::Imm32,
            _ => Tail::Nothing,
        },
        0x63 | 0x84..=0x8f | 0xd0..=0xd3 | 0xd8..=0xdf | 0xf6 | 0xf7 | 0xfe | 0xff => Tail::ModRm,
        0x69 | 0x81 | 0xc7 => Tail::ModRmImm32,
        0x6b | 0x80 | 0x82 | 0x83 | 0xc0 | 0xc1 | 0xc6 => Tail::ModRmImm8,
        0x68 | 0xe8 | 0xe9 | 0xa9 | 0xb8..=0xbf | 0x9a | 0xea => Tail::Imm32,
        0x6a | 0x70..=0x7f | 0xcd | 0xd4 | 0xd5 | 0xe0..=0xe7 | 0xeb | 0xa8 | 0xb0..=0xb7 => Tail::Imm8,
        0xa0..=0xa3 => Tail::Offset,
        0xc2 | 0xca | 0xc8 => Tail::Imm16,
        _ => Tail::Nothing,
    }
}

fn tail_0f(opcode: u8) -> Tail {
    match opcode {
        0x05..=0x0b | 0x30..=0x37 | 0x77 | 0xa0..=0xa2 | 0xa8..=0xaa | 0xc8..=0xcf => Tail::Nothing,
        0x80..=0x8f => Tail::Imm32,
        0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6 => Tail::ModRmImm8,
        _ => Tail::ModRm,
    }
}

/// Where a random instruction is written for.
#[derive(Clone, Copy)]
pub struct Place {
    /// Whether it runs with privilege: then some operands would take the supervisor's tables away.
    pub privileged: bool,
    /// 64-bit code, for the operands of moves by offset.
    pub long: bool,
    /// Where an absolute address may lead.
    pub absolute: u64,
}

/// Writes one random instruction.
pub fn any(code: &mut Code, random: &mut Random, place: Place) {
    for _ in 0..random.pick(&[0u64, 0, 0, 1, 1, 2, 3]) {
        code.byte(random.pick(PREFIXES));
    }
    match random.below(8) {
        0..=3 => one_byte(code, random, place),
        4..=6 => two_bytes(code, random, place),
        _ => three_bytes(code, random),
    }
}

fn one_byte(code: &mut Code, random: &mut Random, place: Place) {
    let opcode = if random.once_in(2) { random.byte() } else { random.pick(FAVOURITES) };
    if matches!(opcode, 0x0f | 0xc4 | 0xc5 | 0x62) {
        return three_bytes(code, random);
    }
    code.byte(opcode);
    match opcode {
        0xe4..=0xe7 => code.byte(random.pick(SAFE_PORTS)),
        // Jumps stay near.
        0xe8 | 0xe9 => code.u32(random.below(16) as u32),
        0x70..=0x7f | 0xe0..=0xe3 | 0xeb => code.byte(random.below(16) as u8),
        _ => finish(code, random, tail(opcode), None, place),
    }
}

fn two_bytes(code: &mut Code, random: &mut Random, place: Place) {
    let opcode = if random.once_in(2) { random.byte() } else { random.pick(FAVOURITES_0F) };
    // MOV to a debug register only where `privileged` has it: a breakpoint in a segment whose base is not 0
    // ends QEMU (docs/testing.md, "Random guests").
    if matches!(opcode, 0x38 | 0x3a) || opcode == 0x23 && place.privileged {
        return three_bytes(code, random);
    }
    code.bytes(&[0x0f, opcode]);
    // LLDT, LTR; LGDT, LIDT; CR3 and what has no meaning there: `privileged` has them with operands that do
    // no harm. Without 64-bit code, paging can be switched off, and the interrupts' table has another form
    // then.
    let not_field: &[u8] = match opcode {
        0x00 => &[2, 3],
        0x01 if place.long => &[2, 3],
        0x01 => &[2, 3, 6],
        0x22 if place.long => &[3],
        0x22 => &[0, 3],
        _ => &[],
    };
    let field = if place.privileged && !not_field.is_empty() {
        let mut field = random.byte() & 7;
        while not_field.contains(&field) {
            field = (field + 1) & 7;
        }
        Some(field)
    } else {
        None
    };
    finish(code, random, tail_0f(opcode), field, place);
}

/// Changes a byte of code, unless it stands behind an escape byte.
pub fn change(at: u64, random: &mut Random) {
    let escapes = (1..4).any(|back| matches!(read(at - back), 0x38u8 | 0x3a | 0xc4 | 0xc5 | 0x62));
    if !escapes {
        write(at, random.pick(BYTES));
    }
}

/// The opcodes behind 0F 38 and 0F 3A, and VEX ones.
fn three_bytes(code: &mut Code, random: &mut Random) {
    match random.below(4) {
        0 | 1 => code.bytes(&[0x0f, 0x38, random.pick(KNOWN_0F38)]),
        2 => code.bytes(&[0x0f, 0x3a, random.pick(KNOWN_0F3A)]),
        // Loads, stores and arithmetic of VEX's first map, of 128 and 256 bits.
        _ => code.bytes(&[0xc5, 0xf8 | random.byte() & 5, random.pick(KNOWN_VEX)]),
    }
    mod_rm(code, random, None);
    code.byte(random.byte());
}

fn finish(code: &mut Code, random: &mut Random, tail: Tail, field: Option<u8>, place: Place) {
    match tail {
        Tail::Nothing => (),
        Tail::ModRm => mod_rm(code, random, field),
        Tail::ModRmImm8 => {
            mod_rm(code, random, field);
            code.byte(random.byte());
        }
        Tail::ModRmImm32 => {
            mod_rm(code, random, field);
            code.u32(random.next() as u32);
        }
        Tail::Imm8 => code.byte(random.byte()),
        Tail::Imm16 => code.bytes(&[random.byte(), random.byte()]),
        Tail::Imm32 => code.u32(random.next() as u32),
        Tail::Offset if place.long => code.u64(place.absolute),
        Tail::Offset => code.u32(place.absolute as u32),
    }
}

/// ModRM, SIB and displacement. Memory operands are mostly what a register points to, with a small
/// displacement.
fn mod_rm(code: &mut Code, random: &mut Random, field: Option<u8>) {
    let byte = random.byte();
    let reg = field.unwrap_or(byte >> 3 & 7);
    let (mode, rm) = (random.pick(&[0u8, 0, 0, 1, 1, 3]), byte & 7);
    code.byte(mode << 6 | reg << 3 | rm);
    if mode == 3 {
        return;
    }
    if rm == 4 {
        // No index, most of the time.
        code.byte(if random.once_in(4) { random.byte() } else { 0x20 | random.byte() & 7 });
    }
    if mode == 1 {
        code.byte(random.pick(&[0u8, 1, 4, 8, 0x10, 0x7f, 0x80, 0xff, 0xf0]));
    } else if rm == 5 {
        // Relative to RIP, or to nothing.
        code.u32(random.below(0x800) as u32);
    }
}
