//! Snippets without long mode: protected mode without paging, with two levels, with PAE; and real mode. There
//! an exception pushes on the stack that is there, so these leave the stack alone.

use super::code::Code;
use super::cpu::Cpu;
use super::entry::enter_old;
use super::layout as l;
use super::machine::write;
use super::random::Random;
use super::{apic, privileged, snippet, watch};

/// Opcodes with a memory operand that is not the stack, and what else exits.
const WITH_OPERAND: &[u8] = &[
    0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x11, 0x21, 0x28, 0x29, 0x30, 0x31, 0x38, 0x39, 0x3b, 0x84, 0x85,
    0x86, 0x87, 0x88, 0x89, 0x8a, 0xfe,
];
const ALONE: &[&[u8]] = &[
    &[0x6c],
    &[0x6d],
    &[0x6e],
    &[0x6f],
    &[0xa4],
    &[0xa5],
    &[0xaa],
    &[0xab],
    &[0xa6],
    &[0xa7],
    &[0xac],
    &[0xae],
    &[0xec],
    &[0xed],
    &[0xee],
    &[0xef],
    &[0x0f, 0xa2],
    &[0x0f, 0x31],
    &[0x0f, 0x32],
    &[0xfb],
    &[0xfa],
    &[0xfb, 0x90],
    &[0xfb, 0xf4],
    &[0xf4],
    &[0x0f, 0x09],
    &[0x0f, 0x06],
    &[0xd7],
    &[0xfc],
    &[0xfd],
    &[0xcc],
    &[0xf1],
    &[0x0f, 0x01, 0xd9],
    &[0x0f, 0x0b],
];
const PREFIXES: &[u8] = &[0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x3e, 0x64, 0x65];

fn instruction(code: &mut Code, random: &mut Random) {
    for _ in 0..random.pick(&[0u64, 0, 1, 1, 2]) {
        code.byte(random.pick(PREFIXES));
    }
    if random.once_in(2) {
        return code.bytes(random.pick(ALONE));
    }
    code.byte(random.pick(WITH_OPERAND));
    // A register of EAX to EDX, and what EBX, ESI or EDI points to in both address sizes.
    code.byte((random.byte() & 3) << 3 | random.pick(&[4u8 | 3, 6, 7]));
    code.bytes(&[0x90; 3]);
}

fn write_code(cpu: &mut Cpu, at: u64) {
    let mut code = Code::new(at, 256);
    for _ in 0..=cpu.random.below(12) {
        instruction(&mut code, &mut cpu.random);
    }
    code.finish();
}

/// Protected mode without long mode.
pub fn protected(cpu: &mut Cpu) -> ! {
    let page = cpu.index * l::CODE_PAGES + cpu.random.below(l::USER_CODE_PAGE);
    write_code(cpu, l::PLAYGROUND + page * 0x1000);
    snippet::fill_registers(cpu, l::PLAYGROUND);
    cpu.registers[4] = l::PLAYGROUND + (480 + cpu.index) * 0x1000 + 0x800;
    for index in [3, 6, 7] {
        if cpu.random.once_in(3) {
            cpu.registers[index] = cpu.random.pick(&[
                l::APIC + 0x80,
                // Behind its configuration, which takes the PIT's way to the processors.
                l::HPET + 0x100,
                l::IO_APIC + 0x1000,
                0xa_0000,
                0xd000_0ffd,
                0x800_0000,
            ]);
        }
    }
    let kind = cpu.random.below(3);
    (cpu.cr0, cpu.cr3, cpu.cr4) = match kind {
        0 => (0x33, 0, 0),
        1 => (0x8000_0033, l::LEGACY_DIRECTORY, 0x10),
        _ => (0x8000_0033, l::PAE_POINTERS, 0x20),
    };
    cpu.cr0 |= cpu.random.pick(&[0, 1 << 16, 1 << 18, 5 << 16]);
    cpu.cr4 |= cpu.random.pick(&[0, 0x600, 0x80, 0x700]);
    cpu.rip = l::PLAYGROUND + page * 0x1000;
    cpu.rflags = 2 | cpu.random.next() & 0x2d5;
    enter_with(cpu, 0x7ff, l::LEGACY_IDT, false)
}

/// Real mode. The data segments lie where no table of the guest's is.
pub fn real_mode(cpu: &mut Cpu) -> ! {
    watch::restore();
    write_code(cpu, l::REAL_MODE);
    let segments: &[u64] = &[0x2000, 0x2800, 0xa000, 0xb800, 0xc000, 0xe000, 0xf000];
    for index in [0, 1, 2, 6, 7] {
        cpu.registers[index] = snippet::value(&mut cpu.random, l::REAL_MODE) & 0xffff;
    }
    // The code that is copied takes DS and ES out of EBX.
    cpu.registers[3] = cpu.random.pick(segments) | cpu.random.pick(segments) << 16;
    if cpu.random.once_in(2) {
        cpu.registers[1] = cpu.random.pick(privileged::MSRS);
    }
    (cpu.cr0, cpu.cr3, cpu.cr4) = (0x11, 0, 0);
    enter_with(cpu, 0x3ff, 0, true)
}

fn enter_with(cpu: &mut Cpu, limit: u64, base: u64, real_mode: bool) -> ! {
    // The assembly reads it behind its first six bytes.
    write((&raw const cpu.idt_operand) as u64, [limit << 48, base]);
    apic::arm_rescue();
    cpu.began = watch::ticks();
    enter_old(cpu, real_mode)
}
