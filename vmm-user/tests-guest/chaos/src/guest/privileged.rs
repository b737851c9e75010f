//! Sequences that a kernel executes, with operands from lists and at random.

use super::code::Code;
use super::layout as l;
use super::random::Random;
use super::{apic, instructions};

/// Model-specific registers; IA32_APIC_BASE is not among them.
pub const MSRS: &[u64] = &[
    0x10,
    0x17,
    0x3a,
    0x3b,
    0x48,
    0x49,
    0x79,
    0x8b,
    0x9e,
    0xc1,
    0xce,
    0xe7,
    0xe8,
    0xfe,
    0x10a,
    0x122,
    0x140,
    0x174,
    0x175,
    0x176,
    0x179,
    0x17a,
    0x17b,
    0x186,
    0x198,
    0x199,
    0x19a,
    0x1a0,
    0x1d9,
    0x1f2,
    0x200,
    0x201,
    0x20f,
    0x250,
    0x258,
    0x268,
    0x26f,
    0x277,
    0x2ff,
    0x345,
    0x38d,
    0x38f,
    0x400,
    0x401,
    0x402,
    0x413,
    0x480,
    0x48b,
    0x570,
    0x600,
    0x6a0,
    0x6a2,
    0x6e0,
    0x6e1,
    0x800,
    0x802,
    0x808,
    0x80b,
    0x80f,
    0x830,
    0x83f,
    0xc80,
    0xda0,
    0x1b0,
    0x4000_0000,
    0x4000_0001,
    0x4000_0020,
    0x4000_0070,
    0x4b56_4d00,
    0x4b56_4d04,
    0xc000_0080,
    0xc000_0081,
    0xc000_0082,
    0xc000_0083,
    0xc000_0084,
    0xc000_0100,
    0xc000_0101,
    0xc000_0102,
    0xc000_0103,
    0xc000_0104,
    0xc000_0408,
    0xc001_0000,
    0xc001_0004,
    0xc001_0010,
    0xc001_0015,
    0xc001_0016,
    0xc001_0018,
    0xc001_001a,
    0xc001_001d,
    0xc001_001f,
    0xc001_0058,
    0xc001_0061,
    0xc001_0111,
    0xc001_0112,
    0xc001_0113,
    0xc001_0114,
    0xc001_0115,
    0xc001_0117,
    0xc001_0118,
    0xc001_0130,
    0xc001_0131,
    0xc001_0140,
    0xc001_1020,
    0xc001_1029,
    0xc001_102c,
];
const CONTROL_REGISTERS: &[u8] = &[0, 0, 2, 4, 4, 4, 8, 8];

fn move_to_eax(code: &mut Code, value: u32) {
    code.byte(0xb8);
    code.u32(value);
}

fn move_to_rax(code: &mut Code, value: u64) {
    code.bytes(&[0x48, 0xb8]);
    code.u64(value);
}

/// MOV DWORD [address], value, for addresses below 2 GiB or of the local APIC and other devices in the lowest
/// 4 GiB.
fn store(code: &mut Code, address: u64, value: u32) {
    code.byte(0xbf); // mov edi
    code.u32(address as u32);
    code.bytes(&[0xc7, 0x07]);
    code.u32(value);
}

/// Writes one sequence, for 64-bit code of processor `index`, which is `privileged` or will get its
/// exceptions.
pub fn any(code: &mut Code, index: u64, random: &mut Random, privileged: bool) {
    match random.below(20) {
        0 => model_specific(code, random),
        1 | 2 => control(code, random),
        3 => root(code, index, random),
        4..=6 => interrupt_to_self(code, random),
        7 => interrupt_to_any(code, index, random),
        8 => timer(code, random),
        9 => code.bytes(random_of(
            random,
            &[&[0xfb, 0xf4], &[0xfb, 0x90, 0xfa], &[0xfb], &[0xfa], &[0xfb, 0xf4, 0xf4], &[0xf4]],
        )),
        10 => step(code),
        11 => shadow(code, random),
        12 => table_register(code, index, random),
        13 => extended_control(code, random),
        14 => debug_registers(code, random),
        15 => code.bytes(random_of(
            random,
            &[
                &[0x0f, 0x09],
                &[0x0f, 0x08],
                &[0x0f, 0x01, 0x3f],
                &[0x0f, 0x06],
                &[0x0f, 0x01, 0xd9],
                &[0x0f, 0x01, 0xf8],
            ],
        )),
        16 => system_call(code, random),
        17 if !privileged => change_self(code, random),
        18 => device(code, index, random),
        _ => code.bytes(&[0xcd, random.byte()]),
    }
}

fn random_of<'a>(random: &mut Random, list: &[&'a [u8]]) -> &'a [u8] {
    random.pick(list)
}

fn model_specific(code: &mut Code, random: &mut Random) {
    code.byte(0xb9);
    code.u32(random.pick(MSRS) as u32);
    let any = random.next();
    let value = random.pick(&[0, 1, !0, any, 0x0007_0406_0007_0406, 0xd01, 0xd00, 0x501, l::KERNEL]);
    move_to_eax(code, value as u32);
    code.byte(0xba);
    code.u32((value >> 32) as u32);
    code.bytes(&[0x0f, random.pick(&[0x30, 0x30, 0x32])]);
}

fn control(code: &mut Code, random: &mut Random) {
    let register = random.pick(CONTROL_REGISTERS);
    let rex = if register == 8 { 0x44 } else { 0x40 };
    let field = (register & 7) << 3;
    let any = random.next();
    let value = match register {
        0 => 0x8005_0033 ^ 1 << random.below(32) | (any & 1) << 18,
        4 => 0x620 ^ 1 << random.below(26) ^ random.pick(&[0, 1 << 18, 1 << 21, 1 << 20]),
        8 => random.below(if any & 7 == 0 { 32 } else { 16 }),
        _ => any,
    };
    move_to_rax(code, value);
    code.bytes(&[rex, 0x0f, 0x22, 0xc0 | field]);
    if random.once_in(2) {
        code.bytes(&[rex, 0x0f, 0x20, 0xc0 | field]);
    }
}

fn root(code: &mut Code, index: u64, random: &mut Random) {
    let area = l::CPU_AREA + index * l::CPU_AREA_BYTES;
    let ignored = random.below(4) << 3;
    move_to_rax(code, (area + random.pick(&[l::ROOT, l::SECOND_ROOT])) | ignored);
    code.bytes(&[0x0f, 0x22, 0xd8]);
}

/// Any vector from 16 on whose low digit is not the checks'.
fn vector(random: &mut Random) -> u32 {
    let vector = random.below(0xf0) as u32 + 0x10;
    if vector & 15 == 7 { vector + 1 } else { vector }
}

/// Self-IPIs with interrupts on and off, and CR8 raised and lowered.
fn interrupt_to_self(code: &mut Code, random: &mut Random) {
    if random.once_in(2) {
        move_to_eax(code, random.below(16) as u32);
        code.bytes(&[0x44, 0x0f, 0x22, 0xc0]);
    }
    if random.once_in(4) {
        store(code, l::APIC + 0x80, random.below(256) as u32);
    }
    for _ in 0..=random.below(3) {
        store(code, l::APIC + 0x300, apic::FIXED | apic::TO_SELF | vector(random));
    }
    code.bytes(random_of(
        random,
        &[&[0xfb, 0x90], &[0xfb, 0xf4], &[0xfb, 0x90, 0xfa], &[], &[0xfb, 0x0f, 0xa2]],
    ));
    if random.once_in(2) {
        move_to_eax(code, random.below(8) as u32);
        code.bytes(&[0x44, 0x0f, 0x22, 0xc0]);
    }
}

/// Any delivery mode. INIT and SIPI go to processor 1 only: the first has no firmware to start with.
fn interrupt_to_any(code: &mut Code, index: u64, random: &mut Random) {
    let mode = random.pick(&[0u32, 0, 0, 1, 2, 4, 4, 4, 7, 6]);
    let mut low = mode << 8 | 0x4000 | vector(random) | (random.below(2) << 11) as u32;
    let mut destination = random.pick(&[0u32, 1, 0xff, 2, 3]);
    if random.once_in(3) {
        low |= (random.below(4) << 18) as u32;
    }
    if random.once_in(24) {
        low = apic::INIT;
        destination = 1;
    }
    if mode == 6 || low == apic::INIT {
        (low, destination) = (low & !(0xf << 16 | 1 << 11), 1);
    }
    let to_itself = low == apic::INIT && index == 1;
    store(code, l::APIC + 0x310, destination << 24);
    store(code, l::APIC + 0x300, if to_itself { apic::NMI } else { low });
}

fn timer(code: &mut Code, random: &mut Random) {
    store(code, l::APIC + 0x3e0, random.below(16) as u32);
    store(code, l::APIC + 0x320, vector(random) | (random.below(3) << 17) as u32);
    store(code, l::APIC + 0x380, random.below(100_000) as u32);
    if random.once_in(2) {
        code.bytes(&[0xfb, 0xf4]);
    }
}

/// PUSHF, OR with TF, POPF: every instruction from here on is stepped.
fn step(code: &mut Code) {
    code.bytes(&[0x9c, 0x48, 0x81, 0x0c, 0x24]);
    code.u32(1 << 8);
    code.byte(0x9d);
}

/// MOV SS and what it holds back.
fn shadow(code: &mut Code, random: &mut Random) {
    move_to_eax(code, l::KERNEL_DATA as u32);
    code.bytes(&[0x8e, 0xd0]);
    code.bytes(random_of(
        random,
        &[&[0x0f, 0xa2], &[0xf4], &[0xcc], &[0xf1], &[0x90], &[0xfb, 0xf4], &[0xcd, 0x20], &[0xec]],
    ));
}

/// LGDT and LIDT of tables that do.
fn table_register(code: &mut Code, index: u64, random: &mut Random) {
    let (field, operand) = if random.once_in(2) { (0x14u8, 8 + index) } else { (0x1c, 1 + random.below(4)) };
    code.bytes(&[0x0f, 0x01, field, 0x25]);
    code.u32((l::POINTER_OPERANDS + operand * 16) as u32);
}

/// CR4.OSXSAVE or not, XSETBV, and AVX.
fn extended_control(code: &mut Code, random: &mut Random) {
    if !random.once_in(4) {
        move_to_eax(code, 0x4_0620);
        code.bytes(&[0x0f, 0x22, 0xe0]);
    }
    code.bytes(&[0x31, 0xc9, 0x31, 0xd2]);
    let any = random.next() as u32;
    move_to_eax(code, random.pick(&[1, 3, 7, 0, 5, 0xe7, 0x1f, 0x207, 0x67, 0x27, any]));
    code.bytes(&[0x0f, 0x01, 0xd1]);
    code.bytes(random_of(
        random,
        &[&[0xc5, 0xf8, 0x77], &[0xc5, 0xfc, 0x28, 0xc8], &[0x0f, 0xa2], &[0x0f, 0x01, 0xd0]],
    ));
}

/// Breakpoints on the playground and on ports, and the general detect bit.
fn debug_registers(code: &mut Code, random: &mut Random) {
    let register = random.below(4) as u8;
    let address = l::KERNEL + random.below(0x6_0000);
    move_to_rax(code, random.pick(&[address, address & !0xfff, 0x3fd, 0x80, 0]));
    code.bytes(&[0x0f, 0x23, 0xc0 | register << 3]);
    let mut control = 0x400 | random.next() & 0xffff_03ff;
    if random.once_in(8) {
        control |= 1 << 13;
    }
    move_to_rax(code, control);
    code.bytes(&[0x0f, 0x23, 0xf8]);
}

/// SYSCALL and SYSENTER where they are on, to code of the playground.
fn system_call(code: &mut Code, random: &mut Random) {
    for (register, low, high) in [
        (0xc000_0080u32, 0xd01, 0),
        (0xc000_0082, l::KERNEL as u32, 0),
        (0xc000_0081, 0, (l::KERNEL_CODE | 0x33 << 16) as u32),
        (0x174, l::KERNEL_CODE as u32, 0),
        (0x176, l::KERNEL as u32 + 0x1000, 0),
    ] {
        code.byte(0xb9);
        code.u32(register);
        move_to_eax(code, low);
        code.byte(0xba);
        code.u32(high);
        code.bytes(&[0x0f, 0x30]);
    }
    code.bytes(random_of(random, &[&[0x0f, 0x05], &[0x0f, 0x34], &[0x48, 0x0f, 0x07], &[0x48, 0x0f, 0x35]]));
}

/// Changes the code a few bytes ahead.
fn change_self(code: &mut Code, random: &mut Random) {
    code.bytes(&[0xc6, 0x05]);
    code.u32(random.below(12) as u32);
    code.byte(random.pick(instructions::BYTES));
}

/// HPET's comparators, the I/O APIC's other inputs, PIT channel 2, RTC: what the watch does not depend on.
fn device(code: &mut Code, index: u64, random: &mut Random) {
    let any = random.next() as u32;
    match random.below(4) {
        0 => store(
            code,
            l::HPET + random.pick(&[0x20, 0x100, 0x104, 0x108, 0x120, 0x128, 0x148, 0xf0, 0xf4]),
            any,
        ),
        1 => {
            store(code, l::HPET + 0x10, 1);
            store(code, l::HPET + 0x100, 0x4 | any & 0x3e08);
            store(code, l::HPET + 0x108, any & 0xffff);
        }
        // One processor alone, as it takes two writes, and the watch's input is set up by that one.
        2 if index == 0 => {
            store(code, l::IO_APIC, 0x10 + 2 * random.pick(&[0u32, 1, 4, 8, 9, 20, 23]));
            // No INIT to the first processor.
            let low = any & 0x1_f8ff | 0x10;
            store(code, l::IO_APIC + 0x10, if low & 0x700 == 0x500 { low & !0x700 } else { low });
        }
        _ => {
            code.byte(0xba);
            code.u32(random.pick(&[0x42, 0x61, 0x70, 0x71, 0xb2, 0x80]));
            code.bytes(&[0xb0, any as u8, 0xee]);
        }
    }
}
