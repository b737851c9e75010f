//! Firmware before it turns long mode on: gates of 8 bytes, frames of 4-byte words.

use super::*;

fn gate_32(memory: &mut Memory, vector: u8, selector: u16, rights: u8, offset: u32) {
    let [a, b, c, d] = offset.to_le_bytes();
    let [low, high] = selector.to_le_bytes();
    memory.put(IDT + u64::from(vector) * 8, &[a, b, low, high, 0, rights, c, d]);
}

fn half(memory: &Memory, address: u64) -> u32 {
    memory.word(address) as u32
}

fn machine() -> (Registers, Memory) {
    let (mut registers, mut memory) = super::machine();
    registers.efer = 0;
    registers.cs.selector = CODE_32;
    registers.ss.limit = !0;
    for number in 0..32 {
        gate_32(&mut memory, number, CODE_32, 0x8e, 0x1000 + u32::from(number));
    }
    (registers, memory)
}

#[test]
fn frames() {
    let (mut registers, mut memory) = machine();
    assert_eq!(deliver(&mut registers, &mut memory, vc()), Outcome::Delivered(VC_VECTOR));
    let rsp = STACK - 16;
    let pushed: Vec<_> = (0..4).map(|word| half(&memory, rsp + word * 4)).collect();
    assert_eq!(pushed, [0x72, 0x40_1234, u32::from(CODE_32), 0x1_4302]);
    assert_eq!((registers.rip, registers.rsp, registers.rflags), (0x101d, rsp, 2));
}

#[test]
fn another_stack() {
    let (mut registers, mut memory) = machine();
    memory.put(TSS + 4, &0x9000_u32.to_le_bytes());
    memory.put(TSS + 8, &DATA.to_le_bytes());
    (registers.cpl, registers.ss.selector) = (3, STACK_SELECTOR | 3);
    let event = Event { error_code: None, ..vc() };
    assert_eq!(deliver(&mut registers, &mut memory, event), Outcome::Delivered(VC_VECTOR));
    assert_eq!((registers.rsp, registers.cpl, registers.ss.selector), (0x9000 - 20, 0, DATA));
    assert_eq!((half(&memory, 0x9000 - 8), half(&memory, 0x9000 - 4)), (STACK as u32, 0x1b));
}

#[test]
fn faults_on_the_way() {
    type Break = fn(&mut Registers, &mut Memory);
    let at_vc = u32::from(VC_VECTOR) << 3 | 3;
    let table: [(Break, u8, u32); 8] = [
        (|registers, _| registers.idtr.limit = 0xee, vector::GP, at_vc),
        (|_, memory| gate_32(memory, VC_VECTOR, CODE_32, 0x86, 0), vector::GP, at_vc),
        (|_, memory| gate_32(memory, VC_VECTOR, CODE_32, 0x0e, 0), vector::NP, at_vc),
        (|_, memory| gate_32(memory, VC_VECTOR, DATA, 0x8e, 0), vector::GP, 0x31),
        (
            |_, memory| {
                // 16 bytes of code at 100000h.
                memory.put(GDT + 0x10, &0x0040_9b10_0000_000f_u64.to_le_bytes());
                gate_32(memory, VC_VECTOR, 0x10, 0x8e, 0x10);
            },
            vector::GP,
            1,
        ),
        // The stack of CPL 0 is no segment, no stack, or of another CPL.
        (|registers, memory| inner(registers, memory, 0), vector::TS, 1),
        (|registers, memory| inner(registers, memory, CODE_32), vector::TS, 0x29),
        (|registers, _| registers.ss.limit = STACK as u32 - 2, vector::SS, 1),
    ];
    for (number, (damage, vector, error_code)) in table.into_iter().enumerate() {
        let (mut registers, mut memory) = machine();
        // The handlers have a stack in any case: conforming code, at whatever CPL.
        memory.put(GDT + u64::from(CONFORMING), &0x00cf_9f00_0000_ffff_u64.to_le_bytes());
        for other in 8..15 {
            gate_32(&mut memory, other, CONFORMING, 0x8e, 0x1000 + u32::from(other));
        }
        damage(&mut registers, &mut memory);
        if vector == vector::SS {
            // Nor can that one be delivered there: a double fault, and a triple one.
            assert_eq!(deliver(&mut registers, &mut memory, vc()), Outcome::Shutdown);
            continue;
        }
        let outcome = deliver(&mut registers, &mut memory, vc());
        assert_eq!(outcome, Outcome::Delivered(vector), "{number}");
        assert_eq!(half(&memory, registers.rsp), error_code, "{number}");
    }
}

fn inner(registers: &mut Registers, memory: &mut Memory, stack: u16) {
    registers.cpl = 3;
    memory.put(TSS + 4, &0x9000_u32.to_le_bytes());
    memory.put(TSS + 8, &stack.to_le_bytes());
}

#[test]
fn real_mode_is_another_matter() {
    let (mut registers, mut memory) = machine();
    registers.cr0 = 0;
    assert_eq!(deliver(&mut registers, &mut memory, vc()), Outcome::RealMode);
}
