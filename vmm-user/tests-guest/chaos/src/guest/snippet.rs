//! Snippets of long mode: in 64-, 32- and 16-bit code, with privilege and without.

use super::code::Code;
use super::cpu::Cpu;
use super::entry::enter;
use super::instructions::{self, Place};
use super::random::Random;
use super::{apic, layout as l, privileged, watch};

/// Not the PIT's, by which the watch comes.
const PORTS: &[u64] = &[
    0x3f8, 0x3fd, 0x20, 0x21, 0xa1, 0x3c, 0x61, 0x60, 0x70, 0x71, 0x80, 0xb2, 0xcf8, 0xcfc, 0xcfd, 0x600,
    0x602, 0x608, 0x1234, 0xfffd, 0xffff, 0xc000, 0x0, 0x1f0, 0x402, 0x510, 0xf4, 0x2f8, 0x3ff, 0x4d0,
];
const OFFSETS: &[u64] = &[
    0, 1, 4, 8, 0x10, 0x20, 0x80, 0xa0, 0xb0, 0xd0, 0xe0, 0xf0, 0xf4, 0x100, 0x280, 0x320, 0x350, 0x380,
    0x390, 0x3e0, 0x7fc, 0xff0, 0xff8, 0xffc, 0xffd, 0xfff,
];

/// A value for a register: an address of the playground, most of the time.
pub fn value(random: &mut Random, base: u64) -> u64 {
    match random.below(12) {
        0..=3 => base + (l::FIRST_DATA_PAGE + random.below(l::DATA_PAGES)) * 0x1000 + random.pick(OFFSETS),
        4..=6 => {
            base + (l::FIRST_SPECIAL_PAGE + random.below(l::SPECIAL_PAGES)) * 0x1000 + random.pick(OFFSETS)
        }
        // Not 1Bh: IA32_APIC_BASE could take the local APIC away, by which the watch comes.
        7 => random.below(27),
        8 => random.pick(PORTS),
        9 => random.pick(privileged::MSRS),
        10 => random.pick(&[
            !0,
            1 << 63,
            0x8000_0000_0000,
            0xffff_8000_0000_0000,
            0x7fff_ffff_ffff,
            0xffff_ffff,
            0x8000_0000,
        ]),
        // Of both processors, code of the same privilege.
        _ => {
            let first = if base == l::USER { l::USER_CODE_PAGE } else { 0 };
            let page = random.below(2) * l::CODE_PAGES + first + random.below(l::USER_CODE_PAGES);
            base + page * 0x1000 + random.below(0x38)
        }
    }
}

/// The registers of the next snippet.
pub fn fill_registers(cpu: &mut Cpu, base: u64) {
    for index in 0..16 {
        cpu.registers[index] = value(&mut cpu.random, base);
    }
    if cpu.random.once_in(2) {
        cpu.registers[1] = cpu.random.below(40);
    }
    if base != l::USER {
        // A REP STOS from a low address up would go over the supervisor itself.
        cpu.registers[7] = base + (l::FIRST_DATA_PAGE + cpu.random.below(l::DATA_PAGES)) * 0x1000;
        cpu.registers[7] += cpu.random.pick(OFFSETS);
    }
    if !cpu.random.once_in(8) {
        cpu.registers[4] = base + (l::FIRST_DATA_PAGE + cpu.random.below(l::DATA_PAGES)) * 0x1000 + 0xff0;
    }
}

/// RFLAGS: any arithmetic flags, and now and then everything else.
fn flags(random: &mut Random, privileged: bool) -> u64 {
    let mut flags = 2 | random.next() & 0x8d5;
    let backwards = if privileged { 1000 } else { 4 };
    for (bit, times) in [(8, 8), (10, backwards), (14, 32), (16, 16), (18, 4), (21, 2)] {
        if random.once_in(times) {
            flags |= 1 << bit;
        }
    }
    if random.once_in(2) {
        flags |= 1 << 9;
    }
    if !privileged && random.once_in(8) {
        flags |= 3 << 12;
    }
    flags
}

/// Writes a snippet and enters it.
pub fn run(cpu: &mut Cpu) -> ! {
    let privileged = cpu.random.once_in(2);
    let width = cpu.random.pick(&[64u64, 64, 64, 64, 32, if privileged { 32 } else { 16 }]);
    let first = if privileged { 0 } else { l::USER_CODE_PAGE };
    let page = cpu.index * l::CODE_PAGES + first + cpu.random.below(l::USER_CODE_PAGES);
    let base = if privileged { l::KERNEL } else { l::USER };
    fill_registers(cpu, base);
    let mut code = Code::new(l::PLAYGROUND + page * 0x1000, 512);
    let absolute = value(&mut cpu.random, base);
    let place = Place { privileged, long: width == 64, absolute };
    for _ in 0..=cpu.random.below(10) {
        if width == 64 && cpu.random.once_in(if privileged { 2 } else { 12 }) {
            privileged::any(&mut code, cpu.index, &mut cpu.random, privileged);
        } else {
            instructions::any(&mut code, &mut cpu.random, place);
        }
    }
    code.finish();
    cpu.rflags = flags(&mut cpu.random, privileged);
    (cpu.cs, cpu.rip) = match (width, privileged) {
        (64, true) => (l::KERNEL_CODE, base + page * 0x1000),
        (64, false) => (l::USER_CODE, base + page * 0x1000),
        (_, true) => (l::KERNEL_CODE_32, base + page * 0x1000),
        (32, false) => (l::USER_CODE_32, base + page * 0x1000),
        _ => (l::USER_CODE_16, page * 0x1000),
    };
    cpu.ss = if privileged { l::KERNEL_DATA } else { l::USER_DATA };
    let any = descriptor(cpu);
    cpu.ds = cpu.random.pick(&[0, l::USER_DATA, l::USER_DATA, any]);
    cpu.es = cpu.random.pick(&[0, l::USER_DATA, l::USER_DATA, l::RANDOM_DESCRIPTORS | 3]);
    apic::arm_rescue();
    cpu.began = watch::ticks();
    enter(cpu)
}

/// Makes one of the descriptors of no fixed meaning anew; returns its selector.
fn descriptor(cpu: &mut Cpu) -> u64 {
    let selector = l::RANDOM_DESCRIPTORS + cpu.random.below(l::RANDOM_DESCRIPTOR_COUNT) * 8;
    let descriptor = match cpu.random.below(4) {
        0 => cpu.random.next(),
        // Data of the playground's, with limits that end in it.
        1 => 0x4010_f300_0000_0fff,
        2 => 0x40c0_f700_0000_0010,
        _ => 0x00cf_f300_0000_ffff ^ 1 << cpu.random.below(64),
    };
    // A task or call gate that is privileged could lead anywhere; without a system segment there is none.
    super::machine::write(cpu.area() + l::GDT + selector, descriptor | 1 << 44);
    selector | 3
}
