//! Delivery in long mode (APM 2, 8.9.3 and 8.9.4).

use plinth_snp_abi::vmsa::Segment;

use super::gate::{Gate, code_segment, selector_fault};
use super::{
    Event, Failure, LinearMemory, RFLAGS_IF, RFLAGS_NT, RFLAGS_RF, RFLAGS_TF, RFLAGS_VM, Registers, vector,
};

/// Whether bits 63:47 are all the same; a processor with 57-bit addresses takes more, which no guest here
/// has.
const fn is_canonical(address: u64) -> bool {
    ((address << 16) as i64 >> 16) as u64 == address
}

/// A stack pointer of the TSS: of the IST, or of a CPL.
fn stack_of_tss(
    registers: &Registers,
    memory: &mut impl LinearMemory,
    offset: u64,
    event: Event,
) -> Result<u64, Failure> {
    if offset + 7 > u64::from(registers.tr.limit) {
        return Err(selector_fault(vector::TS, registers.tr.selector, event));
    }
    let mut pointer = [0; 8];
    memory.read(registers.tr.base.wrapping_add(offset), &mut pointer)?;
    Ok(u64::from_le_bytes(pointer))
}

/// Where the frame goes: on the IST's stack, on that of the new CPL, or on the present one.
fn stack(
    registers: &Registers,
    memory: &mut impl LinearMemory,
    gate: &Gate,
    cpl: u8,
    event: Event,
) -> Result<u64, Failure> {
    const RSP0: u64 = 4;
    const IST1: u64 = 0x24;
    let pointer = if gate.ist != 0 {
        stack_of_tss(registers, memory, IST1 + 8 * (u64::from(gate.ist) - 1), event)?
    } else if cpl != registers.cpl {
        stack_of_tss(registers, memory, RSP0 + 8 * u64::from(cpl), event)?
    } else {
        registers.rsp
    };
    if is_canonical(pointer) { Ok(pointer & !0xf) } else { Err(selector_fault(vector::SS, 0, event)) }
}

/// The registers at the handler, behind the frame.
pub(super) fn enter(
    registers: &Registers,
    memory: &mut impl LinearMemory,
    event: Event,
) -> Result<Registers, Failure> {
    let gate = Gate::read(registers, memory, event)?;
    let (cs, cpl) = code_segment(registers, memory, &gate, event)?;
    let top = stack(registers, memory, &gate, cpl, event)?;
    if !is_canonical(gate.offset) {
        return Err(selector_fault(vector::GP, 0, event));
    }
    let words = [
        event.error_code.map_or(0, u64::from),
        registers.rip,
        u64::from(registers.cs.selector),
        registers.rflags,
        registers.rsp,
        u64::from(registers.ss.selector),
    ];
    let mut frame = [0; 48];
    for (place, word) in frame.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    // Without an error code the frame begins at RIP.
    let pushed = frame.get(if event.error_code.is_some() { 0 } else { 8 }..).unwrap_or_default();
    let rsp = top.wrapping_sub(pushed.len() as u64);
    memory.write(rsp, pushed)?;

    let mut after = Registers { rip: gate.offset, rsp, cs, cpl, ..*registers };
    after.rflags &= !(RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM);
    if !gate.is_trap {
        after.rflags &= !RFLAGS_IF;
    }
    if cpl != registers.cpl {
        // A null selector with the new CPL, whose hidden part is not looked at in 64-bit mode.
        after.ss =
            Segment { selector: u16::from(cpl), attributes: u16::from(cpl) << 5, ..Segment::default() };
    }
    Ok(after)
}
