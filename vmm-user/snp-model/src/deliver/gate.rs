//! Gates of the IDT, and the code segments that they lead to.

use plinth_snp_abi::vmsa::{Segment, pack_attributes};

use super::{Event, Failure, LinearMemory, Registers, vector};

/// Attributes of a segment as a VMSA has them.
pub(super) mod attribute {
    pub const CODE: u16 = 1 << 3;
    pub const CONFORMING: u16 = 1 << 2;
    pub const WRITABLE: u16 = 1 << 1;
    pub const NOT_SYSTEM: u16 = 1 << 4;
    pub const PRESENT: u16 = 1 << 7;
    pub const LONG: u16 = 1 << 9;
    pub const DEFAULT: u16 = 1 << 10;
    pub const GRANULAR: u16 = 1 << 11;

    /// Bits 6:5, the DPL.
    pub const fn dpl(attributes: u16) -> u8 {
        (attributes >> 5 & 3) as u8
    }
}

/// A gate.
pub(super) struct Gate {
    pub selector: u16,
    pub offset: u64,
    /// Which stack of the TSS, in long mode.
    pub ist: u8,
    /// Whether RFLAGS.IF stays as it is.
    pub is_trap: bool,
}

/// #GP, #NP, #SS or #TS with a selector, or an index into the IDT, as its error code.
pub(super) fn selector_fault(vector: u8, selector: u16, event: Event) -> Failure {
    let external = u32::from(!event.is_software());
    Failure::Exception(Event::fault(vector, u32::from(selector & !3) | external))
}

/// The same for the event's own gate.
fn gate_fault(vector: u8, event: Event) -> Failure {
    const IDT: u32 = 2;
    let external = u32::from(!event.is_software());
    Failure::Exception(Event::fault(vector, u32::from(event.vector) << 3 | IDT | external))
}

impl Gate {
    /// Reads the event's gate, which has 16 bytes in long mode and 8 otherwise.
    pub(super) fn read(
        registers: &Registers,
        memory: &mut impl LinearMemory,
        event: Event,
    ) -> Result<Self, Failure> {
        let bytes = if registers.is_long() { 16 } else { 8 };
        let start = u64::from(event.vector) * bytes;
        if start + bytes - 1 > u64::from(registers.idtr.limit) {
            return Err(gate_fault(vector::GP, event));
        }
        let mut raw = [0; 16];
        let place = raw.get_mut(..if registers.is_long() { 16 } else { 8 }).unwrap_or_default();
        memory.read(registers.idtr.base.wrapping_add(start), place)?;
        let [a, b, c, d, ist, rights, e, f, g, h, i, j, ..] = raw;
        // Interrupt and trap gates; of 64 bits in long mode, of 32 bits else.
        if !matches!(rights & 0x1f, 0xe | 0xf) {
            return Err(gate_fault(vector::GP, event));
        }
        if event.is_software() && rights >> 5 & 3 < registers.cpl {
            return Err(gate_fault(vector::GP, event));
        }
        if rights & 0x80 == 0 {
            return Err(gate_fault(vector::NP, event));
        }
        Ok(Self {
            selector: u16::from_le_bytes([c, d]),
            offset: u64::from_le_bytes([a, b, e, f, g, h, i, j]),
            ist: ist & 7,
            is_trap: rights & 1 != 0,
        })
    }
}

/// Reads the descriptor of a selector from the GDT or the LDT; `fault` is what a bad one raises.
pub(super) fn read_segment(
    registers: &Registers,
    memory: &mut impl LinearMemory,
    selector: u16,
    fault: Failure,
) -> Result<Segment, Failure> {
    const LDT: u16 = 1 << 2;
    let table = if selector & LDT == 0 { registers.gdtr } else { registers.ldtr };
    let start = selector & !7;
    if selector & !3 == 0 || u32::from(start) + 7 > table.limit {
        return Err(fault);
    }
    let mut raw = [0; 8];
    memory.read(table.base.wrapping_add(u64::from(start)), &mut raw)?;
    let [limit_0, limit_1, base_0, base_1, base_2, rights, flags, base_3] = raw;
    let attributes = pack_attributes(u16::from_le_bytes([rights, flags & 0xf0]));
    let mut limit = u32::from_le_bytes([limit_0, limit_1, flags & 0xf, 0]);
    if attributes & attribute::GRANULAR != 0 {
        limit = limit << 12 | 0xfff;
    }
    let base = u64::from(u32::from_le_bytes([base_0, base_1, base_2, base_3]));
    Ok(Segment { selector, attributes, limit, base })
}

/// The code segment that a gate leads to, and the CPL there.
pub(super) fn code_segment(
    registers: &Registers,
    memory: &mut impl LinearMemory,
    gate: &Gate,
    event: Event,
) -> Result<(Segment, u8), Failure> {
    let general = selector_fault(vector::GP, gate.selector, event);
    let segment = read_segment(registers, memory, gate.selector, general)?;
    let attributes = segment.attributes;
    let dpl = attribute::dpl(attributes);
    let is_code = attributes & attribute::NOT_SYSTEM != 0 && attributes & attribute::CODE != 0;
    // In long mode handlers run in 64-bit mode alone.
    let is_long = attributes & (attribute::LONG | attribute::DEFAULT) == attribute::LONG;
    if !is_code || dpl > registers.cpl || registers.is_long() && !is_long {
        return Err(general);
    }
    if attributes & attribute::PRESENT == 0 {
        return Err(selector_fault(vector::NP, gate.selector, event));
    }
    let cpl = if attributes & attribute::CONFORMING == 0 { dpl } else { registers.cpl };
    Ok((Segment { selector: gate.selector & !3 | u16::from(cpl), ..segment }, cpl))
}
