//! Delivery in protected mode through gates of 32 bits (APM 2, 8.7), as firmware needs it before it turns
//! long mode on. Task gates, gates of 16 bits and virtual-8086 mode raise #GP, as if there were none.

use plinth_snp_abi::vmsa::Segment;

use super::gate::{Gate, attribute, code_segment, read_segment, selector_fault};
use super::{
    Event, Failure, LinearMemory, RFLAGS_IF, RFLAGS_NT, RFLAGS_RF, RFLAGS_TF, RFLAGS_VM, Registers, vector,
};

/// The stack segment and pointer of a TSS of 32 bits, for a CPL.
fn stack_of_tss(
    registers: &Registers,
    memory: &mut impl LinearMemory,
    cpl: u8,
    event: Event,
) -> Result<(Segment, u32), Failure> {
    const ESP0: u64 = 4;
    let offset = ESP0 + 8 * u64::from(cpl);
    if offset + 5 > u64::from(registers.tr.limit) {
        return Err(selector_fault(vector::TS, registers.tr.selector, event));
    }
    let mut pointer = [0; 6];
    memory.read(registers.tr.base.wrapping_add(offset), &mut pointer)?;
    let [a, b, c, d, e, f] = pointer;
    let selector = u16::from_le_bytes([e, f]);
    let bad = selector_fault(vector::TS, selector, event);
    let segment = read_segment(registers, memory, selector, bad)?;
    let is_data = segment.attributes & (attribute::NOT_SYSTEM | attribute::CODE | attribute::WRITABLE)
        == attribute::NOT_SYSTEM | attribute::WRITABLE;
    if !is_data || attribute::dpl(segment.attributes) != cpl || selector & 3 != u16::from(cpl) {
        return Err(bad);
    }
    if segment.attributes & attribute::PRESENT == 0 {
        return Err(selector_fault(vector::SS, selector, event));
    }
    Ok((segment, u32::from_le_bytes([a, b, c, d])))
}

/// Whether so many bytes below a stack pointer are within the segment, which does not expand down.
fn fits(segment: &Segment, pointer: u32, bytes: u32) -> bool {
    let last = pointer.wrapping_sub(1);
    pointer.wrapping_sub(bytes) <= last && last <= segment.limit
}

/// The registers at the handler, behind the frame.
pub(super) fn enter(
    registers: &Registers,
    memory: &mut impl LinearMemory,
    event: Event,
) -> Result<Registers, Failure> {
    let gate = Gate::read(registers, memory, event)?;
    let (cs, cpl) = code_segment(registers, memory, &gate, event)?;
    let is_inner = cpl != registers.cpl;
    let (ss, top) = if is_inner {
        stack_of_tss(registers, memory, cpl, event)?
    } else {
        (registers.ss, registers.rsp as u32)
    };
    let offset = gate.offset as u32;
    let words = [
        event.error_code.unwrap_or(0),
        registers.rip as u32,
        u32::from(registers.cs.selector),
        registers.rflags as u32,
        registers.rsp as u32,
        u32::from(registers.ss.selector),
    ];
    let mut frame = [0; 24];
    for (place, word) in frame.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    // The old stack is pushed where there is another one.
    let start = if event.error_code.is_some() { 0 } else { 4 };
    let pushed = frame.get(start..if is_inner { 24 } else { 16 }).unwrap_or_default();
    let bytes = pushed.len() as u32;
    if !fits(&ss, top, bytes) {
        let selector = if is_inner { ss.selector } else { 0 };
        return Err(selector_fault(vector::SS, selector, event));
    }
    if offset > cs.limit {
        return Err(selector_fault(vector::GP, 0, event));
    }
    let rsp = top.wrapping_sub(bytes);
    memory.write(ss.base.wrapping_add(u64::from(rsp)) & 0xffff_ffff, pushed)?;

    let mut after = Registers { rip: u64::from(offset), rsp: u64::from(rsp), cs, ss, cpl, ..*registers };
    after.rflags &= !(RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM);
    if !gate.is_trap {
        after.rflags &= !RFLAGS_IF;
    }
    Ok(after)
}
