//! What the short tables of [`form`](super::form) do not have: read by a full decoder (`iced-x86`), and taken
//! if [`table`] lists it.
//!
//! A full decoder's instruction is turned into an [`Instruction`] like every other, so that one emulator
//! carries out both. Its tables are made on the heap at first use ([`prepare`]); nothing else is allocated.

mod sizes;
mod table;

use iced_x86::{
    Decoder, DecoderError, DecoderOptions, Instruction as Full, Mnemonic, OpKind, Register as Name,
};

use super::prefixes::Prefixes;
use super::{MAX_LENGTH, Rejection};
use crate::{Attributes, Instruction, Mode, Operand, Operation, Processor, Register, Segment, Size, Vendor};
use table::Entry;

/// Has the full decoder make its tables now, rather than when a guest first needs them.
pub fn prepare() {
    let _ = read(&[0x90], Mode::Bits64, Vendor::Intel);
}

/// Decodes the instruction at the start of `bytes`, as [`decode`](super::decode()) does, by the full decoder.
/// `prefixes` are those that it begins with.
#[cold]
#[inline(never)]
pub(super) fn decode(
    bytes: &[u8],
    mode: Mode,
    processor: Processor,
    prefixes: &Prefixes,
) -> Result<Instruction, Rejection> {
    let full = read(bytes, mode, processor.vendor)?;
    let entry = table::find(&full).ok_or(Rejection::Unsupported)?.on(processor);
    // String instructions have other kinds, but those are the short tables'.
    let has_memory = full.op_kinds().any(|kind| kind == OpKind::Memory);
    if !has_memory && !entry.operation.uses_stack() {
        return Err(Rejection::NoMemory);
    }
    // Behind the look for memory: what cannot have exited is run again, whatever CPUID offers.
    if !processor.features.contains(entry.needs) {
        return Err(Rejection::Undefined);
    }
    let mut instruction = convert(&full, entry, mode, processor).ok_or(Rejection::Unsupported)?;
    // AMD's processors push eight bytes each then, though the pointer that they read has no more than four
    // and two.
    if instruction.operation == Operation::CallFar && prefixes.rex_w() {
        instruction.size = Size::B8;
    }
    Ok(instruction)
}

/// The full decoder's reading.
fn read(bytes: &[u8], mode: Mode, vendor: Vendor) -> Result<Full, Rejection> {
    // The full decoder's handlers break the rules of Miri's that are still experimental (stacked borrows).
    if cfg!(miri) {
        return Err(Rejection::Unsupported);
    }
    let longest = usize::from(MAX_LENGTH);
    let bytes = bytes.get(..longest).unwrap_or(bytes);
    // Near branches of two bytes in 64-bit code, and far pointers of ten, depend on the maker.
    let options = if vendor == Vendor::Amd { DecoderOptions::AMD } else { DecoderOptions::NONE };
    let bitness = match mode {
        Mode::Bits16 => 16,
        Mode::Bits32 => 32,
        Mode::Bits64 => 64,
    };
    // At address 0, so that what is relative can be told from the result by the length alone.
    let mut decoder = Decoder::with_ip(bitness, bytes, 0, options);
    let full = decoder.decode();
    match decoder.last_error() {
        DecoderError::None => Ok(full),
        DecoderError::NoMoreBytes if bytes.len() < longest => Err(Rejection::Truncated),
        DecoderError::NoMoreBytes => Err(Rejection::TooLong),
        _ => Err(Rejection::Unsupported),
    }
}

/// `None` for what the table should not have let through.
fn convert(full: &Full, entry: Entry, mode: Mode, processor: Processor) -> Option<Instruction> {
    // A size that the emulator does not know is refused here, as nothing behind this looks at it.
    let (size, memory_size) = sizes::of(full, entry.operation)?;
    let (destination, source) = operands(full);
    let mut instruction = Instruction {
        operation: entry.operation,
        length: full.len() as u8,
        mode,
        vendor: processor.vendor,
        size,
        memory_size,
        // Of those without a memory operand; `set_address` knows better.
        address_size: default_address_size(mode),
        attributes: entry.attributes,
        destination,
        source,
        segment: Segment::Ds,
        base: Register::None,
        index: Register::None,
        scale: 0,
        displacement: 0,
        immediate: immediate(full, entry.operation),
    };
    if full.op_kinds().any(|kind| kind == OpKind::Memory) {
        set_address(&mut instruction, full, mode);
    }
    Some(instruction)
}

fn default_address_size(mode: Mode) -> Size {
    match mode {
        Mode::Bits16 => Size::B2,
        Mode::Bits32 => Size::B4,
        Mode::Bits64 => Size::B8,
    }
}

/// The first operand, and what of the others is no register beside memory.
fn operands(full: &Full) -> (Operand, Operand) {
    let get = |index| if index < full.op_count() { operand(full, index) } else { Operand::None };
    let (first, second, third) = (get(0), get(1), get(2));
    // An operand between the destination and memory, or behind memory, is in `immediate`.
    match (first, second, third) {
        (_, _, Operand::Memory) => (first, third),
        // ENTER's two numbers are in `immediate`.
        (Operand::Immediate, Operand::Immediate, _) => (Operand::None, Operand::None),
        // One operand: what is written by POP and the like, what is read by the rest.
        _ if full.op_count() == 1 && !table::writes_only_operand(full) => (Operand::None, first),
        _ => (first, second),
    }
}

fn operand(full: &Full, index: u32) -> Operand {
    match full.op_kind(index) {
        OpKind::Register => register(full.op_register(index)),
        OpKind::Memory => Operand::Memory,
        _ => Operand::Immediate,
    }
}

fn register(name: Name) -> Operand {
    let number = name.number() as u8;
    if name.is_segment_register() {
        Operand::Segment(number)
    } else if name.is_mm() {
        // Masked, so that what indexes registers is in bounds whatever the full decoder returns.
        Operand::Mmx(number & 7)
    } else if name.is_xmm() {
        Operand::Xmm(number & 15)
    } else if matches!(name, Name::AH | Name::CH | Name::DH | Name::BH) {
        Operand::HighByte(number & 3)
    } else {
        Operand::Gpr(number & 15)
    }
}

/// The immediate, or what else [`Operation`] says is in its place.
fn immediate(full: &Full, operation: Operation) -> u64 {
    let third = |index| u64::from(full.op_register(index).number() as u8 & 15);
    // Where the full decoder thinks it is, the next instruction's address is the length.
    let relative = |target: u64| target.wrapping_sub(full.len() as u64);
    match operation {
        // The full decoder counts conditions from 1, encodings from 0.
        Operation::Cmov | Operation::Set => (full.condition_code() as u64).wrapping_sub(1) & 15,
        Operation::Andn | Operation::Pdep | Operation::Pext | Operation::Mulx => third(1),
        Operation::Bextr | Operation::Bzhi | Operation::Shlx | Operation::Shrx | Operation::Sarx => third(2),
        Operation::Enter => u64::from(full.immediate16()) | u64::from(full.immediate8_2nd()) << 16,
        Operation::CallRelative => relative(full.near_branch_target()),
        Operation::CallFar | Operation::JmpFar if full.op0_kind() == OpKind::FarBranch16 => {
            u64::from(full.far_branch16()) | u64::from(full.far_branch_selector()) << 32
        }
        Operation::CallFar | Operation::JmpFar if full.op0_kind() == OpKind::FarBranch32 => {
            u64::from(full.far_branch32()) | u64::from(full.far_branch_selector()) << 32
        }
        Operation::LoadFar => match full.mnemonic() {
            Mnemonic::Les => Segment::Es as u64,
            Mnemonic::Lds => Segment::Ds as u64,
            Mnemonic::Lss => Segment::Ss as u64,
            Mnemonic::Lfs => Segment::Fs as u64,
            _ => Segment::Gs as u64,
        },
        // 1: of the upper half.
        Operation::MovVectorHalf => u64::from(matches!(full.mnemonic(), Mnemonic::Movhps | Mnemonic::Movhpd)),
        _ => (0..full.op_count()).find_map(|index| full.try_immediate(index).ok()).unwrap_or_default(),
    }
}

fn set_address(instruction: &mut Instruction, full: &Full, mode: Mode) {
    let (base, index) = (full.memory_base(), full.memory_index());
    instruction.attributes |= Attributes::MEMORY;
    instruction.address_size = address_size(full, base, index);
    instruction.base = part(base);
    instruction.displacement = full.memory_displacement64();
    if instruction.base == Register::Rip {
        // The full decoder has added the next instruction's address, of an instruction at 0.
        instruction.displacement = instruction.displacement.wrapping_sub(full.len() as u64);
    }
    // XLAT's index is AL, which the emulator adds.
    if instruction.operation != Operation::Xlat {
        instruction.index = part(index);
        instruction.scale = full.memory_index_scale().trailing_zeros() as u8;
    }
    instruction.segment = segment(full, base, mode);
}

fn part(name: Name) -> Register {
    match name {
        Name::None => Register::None,
        Name::RIP | Name::EIP => Register::Rip,
        _ => Register::Gpr(name.number() as u8 & 15),
    }
}

fn address_size(full: &Full, base: Name, index: Name) -> Size {
    let bytes = match (base, index) {
        // An address without registers is as long as its displacement.
        (Name::None, Name::None) => full.memory_displ_size() as usize,
        (Name::None, index) => index.size(),
        (base, _) => base.size(),
    };
    match bytes {
        2 => Size::B2,
        4 => Size::B4,
        _ => Size::B8,
    }
}

/// The segment of the memory operand. In 64-bit code the full decoder reports overrides that have no effect.
fn segment(full: &Full, base: Name, mode: Mode) -> Segment {
    match full.memory_segment() {
        Name::FS => Segment::Fs,
        Name::GS => Segment::Gs,
        // Neither has a base there: which one it is decides between #SS and #GP.
        _ if mode == Mode::Bits64 => match base.full_register() {
            Name::RSP | Name::RBP => Segment::Ss,
            _ => Segment::Ds,
        },
        Name::ES => Segment::Es,
        Name::CS => Segment::Cs,
        Name::SS => Segment::Ss,
        _ => Segment::Ds,
    }
}
