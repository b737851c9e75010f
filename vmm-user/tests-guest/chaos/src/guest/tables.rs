//! Descriptor tables.

use super::entry::{old_stub, stub, stub_between};
use super::layout as l;
use super::machine::{correct, read, write};

const DESCRIPTORS: [u64; 9] = [
    0,
    0x00af_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00cf_9b00_0000_ffff,
    0x0000_9b00_0000_ffff,
    0x00cf_fb00_0000_ffff,
    0x00cf_f300_0000_ffff,
    0x00af_fb00_0000_ffff,
    // Sixteen bits for the user, at the beginning of the playground.
    0x4000_fb00_0000_ffff,
];

/// Segment and offset of the start page.
const REAL_MODE_VECTOR: u32 = (l::TRAMPOLINE >> 4 << 16) as u32;

/// A processor's GDT and TSS.
pub fn describe(area: u64) {
    restore(area);
    let tss = area + l::TSS;
    write(tss + 4, area + l::STACK_TOP - 0x1000);
    for stack in 1..=6 {
        let top = area + l::INTERRUPT_STACKS + stack * l::INTERRUPT_STACK_BYTES;
        write(tss + 0x1c + stack * 8, top);
    }
    write::<u16>(tss + 0x66, 0x68);
    for byte in 0..=0x2000 {
        write::<u8>(tss + 0x68 + byte, 0xff);
    }
    for copied in (0..l::GDT_BYTES).step_by(8) {
        write::<u64>(area + l::GDT_COPY + copied, read(area + l::GDT + copied));
    }
}

/// The descriptors that everything depends on.
pub fn restore(area: u64) {
    for (index, descriptor) in (0..).zip(DESCRIPTORS) {
        write(area + l::GDT + index * 8, descriptor);
    }
    let (tss, limit) = (area + l::TSS, 0x68 + 0x2000);
    let low = limit | (tss & 0xff_ffff) << 16 | 0x89 << 40 | (tss >> 24 & 0xff) << 56;
    write(area + l::GDT + l::TASK, low);
    write(area + l::GDT + l::TASK + 8, tss >> 32);
}

/// Which of the interrupt stacks a vector has: NMI, double fault, machine check and debug exception have
/// their own.
fn stack_of(vector: u64) -> u64 {
    match vector {
        2 => 2,
        8 => 3,
        18 => 4,
        1 | 3 => 5,
        32.. => 6,
        _ => 1,
    }
}

/// Both IDTs, and the operands of LGDT and LIDT that snippets use.
pub fn describe_interrupts() {
    for vector in 0..256 {
        let (to, user) = (stub(vector), matches!(vector, 3 | 4 | l::END_VECTOR));
        let kind = if user { 0xee } else { 0x8e };
        let low = gate(to, l::KERNEL_CODE, kind) | stack_of(vector) << 32;
        for table in [l::IDT, l::IDT_COPY] {
            write(table + vector * 16, low);
            write(table + vector * 16 + 8, to >> 32);
        }
        write(l::LEGACY_IDT + vector * 8, gate(old_stub(), l::KERNEL_CODE_32, 0x8e));
    }
    describe_real_mode();
    write(l::BETWEEN_IDT + 8, REAL_MODE_VECTOR);
    write(l::BETWEEN_IDT + 16, gate(old_stub(), l::KERNEL_CODE_32, 0x8e));
    write(l::BETWEEN_IDT + 32, gate(stub_between(), l::KERNEL_CODE, 0x8e));
    describe_operands();
}

/// Real mode's interrupts: whatever comes leads to the start of the processor. Returns how many did not.
pub fn describe_real_mode() -> u64 {
    (0..256).map(|vector| u64::from(correct(vector * 4, REAL_MODE_VECTOR))).sum()
}

/// The lower half of an interrupt gate, or a whole one of 32 bits.
fn gate(to: u64, selector: u64, kind: u64) -> u64 {
    to & 0xffff | selector << 16 | kind << 40 | (to >> 16 & 0xffff) << 48
}

/// Operands of LGDT and LIDT.
fn describe_operands() {
    let operands = [
        (l::GDT_BYTES - 1, l::CPU_AREA + l::GDT),
        (0xfff, l::IDT),
        (0x20f, l::IDT),
        (0xfff, l::IDT_COPY),
        (0x82f, l::IDT_COPY),
    ];
    for (index, (limit, base)) in (0..).zip(operands) {
        write(l::POINTER_OPERANDS + index * 16, limit as u16);
        write(l::POINTER_OPERANDS + index * 16 + 2, base);
    }
    write(l::BETWEEN_OPERAND, (l::BETWEEN_IDT_BYTES - 1) as u16);
    write(l::BETWEEN_OPERAND + 2, l::BETWEEN_IDT);
    for index in 0..2 {
        let at = l::POINTER_OPERANDS + (8 + index) * 16;
        write(at, (l::GDT_BYTES - 1) as u16);
        write(at + 2, l::CPU_AREA + index * l::CPU_AREA_BYTES + l::GDT_COPY);
    }
}
