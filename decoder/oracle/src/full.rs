//! A full decoder's opinion (iced-x86) of an instruction that the decoder accepted.

use decoder::{Attributes, Instruction, Mode, Operand, Operation, Register, Segment, Size, Vendor};
use iced_x86::{Code, Decoder, DecoderOptions, Mnemonic, OpKind, Register as Full};

/// Where instructions are decoded; it matters to addresses relative to RIP.
const RIP: u64 = 0x1000;

/// The number of bits the full decoder wants for a mode.
pub const fn bitness(mode: Mode) -> u32 {
    match mode {
        Mode::Bits16 => 16,
        Mode::Bits32 => 32,
        Mode::Bits64 => 64,
    }
}

/// The full decoder's reading of `bytes`.
pub fn decode(bytes: &[u8], mode: Mode) -> iced_x86::Instruction {
    decode_for(bytes, mode, Vendor::Intel)
}

/// The same for a processor of this maker.
pub fn decode_for(bytes: &[u8], mode: Mode, vendor: Vendor) -> iced_x86::Instruction {
    // A few encodings are read otherwise by each maker's processors.
    let options = if vendor == Vendor::Amd { DecoderOptions::AMD } else { DecoderOptions::NONE };
    Decoder::with_ip(bitness(mode), bytes, RIP, options).decode()
}

/// Where the two decoders differ about `bytes`, of which ours made `ours`; nothing if they agree.
pub fn difference(ours: &Instruction, bytes: &[u8]) -> Option<&'static str> {
    let full = decode_for(bytes, ours.mode, ours.vendor);
    // Comparing names would compare the full decoder with itself.
    let Some(mnemonics) = mnemonics(ours) else { return rare_difference(ours, &full) };
    let checks: [(&str, bool); 8] = [
        ("validity", !full.is_invalid()),
        ("length", full.len() == usize::from(ours.length)),
        ("mnemonic", mnemonics.contains(&full.mnemonic())),
        ("operands", operands_agree(ours, &full)),
        ("LOCK", locks_agree(ours, &full)),
        ("repetition", repetitions_agree(ours, &full)),
        ("memory", memory_agrees(ours, &full)),
        ("size", sizes_agree(ours, &full)),
    ];
    // In this order: where the lengths differ, the rest says nothing.
    checks.iter().find(|check| !check.1).map(|check| check.0)
}

/// Whether the short tables don't have it.
pub fn is_rare(ours: &Instruction) -> bool {
    mnemonics(ours).is_none()
}

/// The same for what the full decoder itself has decoded: what was made of it is the processor's to judge,
/// but length and address can be compared.
fn rare_difference(ours: &Instruction, full: &iced_x86::Instruction) -> Option<&'static str> {
    let has_memory = ours.attributes.contains(Attributes::MEMORY);
    let is_xlat = ours.operation == Operation::Xlat;
    let checks: [(&str, bool); 4] = [
        ("validity", !full.is_invalid()),
        ("length", full.len() == usize::from(ours.length)),
        ("LOCK", !full.has_lock_prefix()),
        ("memory", is_xlat || !has_memory || memory_agrees(ours, full)),
    ];
    checks.iter().find(|check| !check.1).map(|check| check.0)
}

/// What the short tables' operations are called; `None` for the others.
fn mnemonics(ours: &Instruction) -> Option<&'static [Mnemonic]> {
    use Mnemonic as M;
    Some(match ours.operation {
        // Hints about caches, and stores past them, are moves to who has no caches.
        Operation::Mov => &[M::Mov, M::Movnti, M::Movdiri],
        Operation::Movzx => &[M::Movzx],
        Operation::Movsx => &[M::Movsx, M::Movsxd],
        Operation::Movbe => &[M::Movbe],
        Operation::Xchg => &[M::Xchg],
        Operation::Xadd => &[M::Xadd],
        Operation::Cmpxchg => &[M::Cmpxchg],
        Operation::CmpxchgPair => &[M::Cmpxchg8b, M::Cmpxchg16b],
        Operation::Add => &[M::Add],
        Operation::Or => &[M::Or],
        Operation::Adc => &[M::Adc],
        Operation::Sbb => &[M::Sbb],
        Operation::And => &[M::And],
        Operation::Sub => &[M::Sub],
        Operation::Xor => &[M::Xor],
        Operation::Cmp => &[M::Cmp],
        Operation::Test => &[M::Test],
        Operation::Not => &[M::Not],
        Operation::Neg => &[M::Neg],
        Operation::Inc => &[M::Inc],
        Operation::Dec => &[M::Dec],
        Operation::Bt => &[M::Bt],
        Operation::Bts => &[M::Bts],
        Operation::Btr => &[M::Btr],
        Operation::Btc => &[M::Btc],
        Operation::Movs => &[M::Movsb, M::Movsw, M::Movsd, M::Movsq],
        Operation::Cmps => &[M::Cmpsb, M::Cmpsw, M::Cmpsd, M::Cmpsq],
        Operation::Stos => &[M::Stosb, M::Stosw, M::Stosd, M::Stosq],
        Operation::Lods => &[M::Lodsb, M::Lodsw, M::Lodsd, M::Lodsq],
        Operation::Scas => &[M::Scasb, M::Scasw, M::Scasd, M::Scasq],
        Operation::Ins => &[M::Insb, M::Insw, M::Insd],
        Operation::Outs => &[M::Outsb, M::Outsw, M::Outsd],
        Operation::Push => &[M::Push],
        Operation::Pop => &[M::Pop],
        Operation::MovVector if ours.attributes.contains(Attributes::ALIGNED) => {
            &[M::Movaps, M::Movapd, M::Movdqa, M::Movntps, M::Movntpd, M::Movntdq, M::Movntdqa]
        }
        // Beside what is moved, only whether a misaligned operand faults is told apart.
        Operation::MovVector => &[
            M::Movups,
            M::Movupd,
            M::Movdqu,
            M::Movd,
            M::Movq,
            M::Movss,
            M::Movsd,
            M::Lddqu,
            M::Movntss,
            M::Movntsd,
        ],
        Operation::Cpuid => &[M::Cpuid],
        Operation::Rdmsr => &[M::Rdmsr],
        Operation::Wrmsr => &[M::Wrmsr],
        Operation::Rdtsc => &[M::Rdtsc],
        Operation::Rdtscp => &[M::Rdtscp],
        Operation::Hlt => &[M::Hlt],
        Operation::Vmmcall => &[M::Vmmcall],
        Operation::Xsetbv => &[M::Xsetbv],
        Operation::Invd => &[M::Invd],
        // Writing back alone is less than this, which nobody minds to get more of.
        Operation::Wbinvd => &[M::Wbinvd, M::Wbnoinvd],
        Operation::Clts => &[M::Clts],
        Operation::Lmsw => &[M::Lmsw],
        Operation::MovControl | Operation::MovDebug => &[M::Mov],
        Operation::In => &[M::In],
        Operation::Out => &[M::Out],
        _ => return None,
    })
}

fn operands_agree(ours: &Instruction, full: &iced_x86::Instruction) -> bool {
    // The full decoder names their memory operands, ours has none.
    if is_string(ours.operation) {
        return true;
    }
    let given = [ours.destination, ours.source].into_iter().filter(|operand| *operand != Operand::None);
    let given: Vec<Operand> = given.collect();
    // All of them and no more: an operand that ours left out would be a difference, too.
    given.len() == full.op_count() as usize
        && (0..).zip(given).all(|(index, operand)| operand_agrees(ours, operand, full, index))
}

fn operand_agrees(ours: &Instruction, operand: Operand, full: &iced_x86::Instruction, index: u32) -> bool {
    let register = full.op_register(index);
    let is_dx = matches!(ours.operation, Operation::In | Operation::Out) && register == Full::DX;
    match operand {
        Operand::None => false,
        // A port's number is in DX, however wide the access is.
        Operand::Gpr(number) if is_dx => number == 2,
        // LMSW reads 16 bits of a register that is named by the operand-size prefix.
        Operand::Gpr(number) if ours.operation == Operation::Lmsw => {
            register.full_register() == gpr(number, Size::B8)
        }
        Operand::Gpr(number) => register == gpr(number, ours.size),
        Operand::HighByte(number) => register == Full::AH + u32::from(number),
        Operand::Memory => full.op_kind(index) == OpKind::Memory,
        Operand::Immediate => {
            let value = full.try_immediate(index);
            // As far as the operand goes: the two extend the sign to different lengths.
            value.is_ok_and(|value| (value ^ ours.immediate) & ours.size.mask() == 0)
        }
        Operand::Xmm(number) => register == Full::XMM0 + u32::from(number),
        Operand::Control(number) => register == Full::CR0 + u32::from(number),
        Operand::Debug(number) => register == Full::DR0 + u32::from(number),
        Operand::Segment(number) => register == Full::ES + u32::from(number),
        Operand::Mmx(number) => register == Full::MM0 + u32::from(number),
    }
}

/// The full decoder's name of a general register.
fn gpr(number: u8, size: Size) -> Full {
    let number = u32::from(number);
    match size {
        Size::B1 if number < 4 => Full::AL + number,
        // In the full decoder's order AH to BH stand between BL and SPL.
        Size::B1 => Full::SPL + (number - 4),
        Size::B2 => Full::AX + number,
        Size::B4 => Full::EAX + number,
        Size::B8 | Size::B16 => Full::RAX + number,
    }
}

fn locks_agree(ours: &Instruction, full: &iced_x86::Instruction) -> bool {
    let locked = ours.attributes.contains(Attributes::LOCK);
    // XCHG with memory locks without the prefix; the full decoder reports the prefix alone.
    if ours.operation == Operation::Xchg { locked } else { locked == full.has_lock_prefix() }
}

fn is_string(operation: Operation) -> bool {
    use Operation::*;
    matches!(operation, Movs | Cmps | Stos | Lods | Scas | Ins | Outs)
}

fn repetitions_agree(ours: &Instruction, full: &iced_x86::Instruction) -> bool {
    let has = |attribute| ours.attributes.contains(attribute);
    let (rep, repne) = (full.has_rep_prefix(), full.has_repne_prefix());
    if is_string(ours.operation) {
        (has(Attributes::REP), has(Attributes::REPNE)) == (rep, repne)
    } else {
        // Elsewhere the bytes are mandatory prefixes, or mean nothing.
        !has(Attributes::REP) && !has(Attributes::REPNE)
    }
}

fn memory_agrees(ours: &Instruction, full: &iced_x86::Instruction) -> bool {
    let kinds = || full.op_kinds();
    let uses_si = |kind| matches!(kind, OpKind::MemorySegSI | OpKind::MemorySegESI | OpKind::MemorySegRSI);
    // The source of a string instruction has a segment that prefixes change; the destination's is always ES.
    if kinds().any(uses_si) && !segments_agree(ours, full) {
        return false;
    }
    let has_memory = kinds().any(|kind| kind == OpKind::Memory);
    if has_memory != ours.attributes.contains(Attributes::MEMORY) {
        return false;
    }
    !has_memory || (segments_agree(ours, full) && addresses_agree(ours, full))
}

/// In 64-bit mode the full decoder reports overrides that have no effect.
fn segments_agree(ours: &Instruction, full: &iced_x86::Instruction) -> bool {
    let segment = full.memory_segment();
    let is_based = |segment| matches!(segment, Full::FS | Full::GS);
    let expected = Full::ES + ours.segment as u32;
    if ours.mode == Mode::Bits64 && !is_based(segment) {
        // Which of DS and SS it is decides between #GP and #SS.
        let base = full.memory_base().full_register();
        let is_stack = matches!(base, Full::RSP | Full::RBP) && !is_string(ours.operation);
        return ours.segment == if is_stack { Segment::Ss } else { Segment::Ds };
    }
    segment == expected
}

fn addresses_agree(ours: &Instruction, full: &iced_x86::Instruction) -> bool {
    let size = ours.address_size;
    let name = |register| match register {
        Register::None => Full::None,
        Register::Gpr(number) => gpr(number, size),
        Register::Rip if size == Size::B4 => Full::EIP,
        Register::Rip => Full::RIP,
    };
    // The full decoder has added the next address already.
    let relative = if ours.base == Register::Rip { full.next_ip() } else { 0 };
    let displacement = ours.displacement.wrapping_add(relative);
    name(ours.base) == full.memory_base()
        && name(ours.index) == full.memory_index()
        // Without an index a scale means nothing.
        && (ours.index == Register::None || 1 << ours.scale == full.memory_index_scale())
        && (displacement ^ full.memory_displacement64()) & size.mask() == 0
        && (relative != 0 || displacement_size_agrees(ours, full))
}

/// Without registers, only the displacement tells the size of the address.
fn displacement_size_agrees(ours: &Instruction, full: &iced_x86::Instruction) -> bool {
    let has_registers = ours.base != Register::None || ours.index != Register::None;
    has_registers || u64::from(full.memory_displ_size()) == ours.address_size.bytes()
}

fn sizes_agree(ours: &Instruction, full: &iced_x86::Instruction) -> bool {
    let string_address = full.op_kinds().find_map(|kind| match kind {
        OpKind::MemorySegSI | OpKind::MemoryESDI => Some(Size::B2),
        OpKind::MemorySegESI | OpKind::MemoryESEDI => Some(Size::B4),
        OpKind::MemorySegRSI | OpKind::MemoryESRDI => Some(Size::B8),
        _ => None,
    });
    let accesses_memory = ours.attributes.contains(Attributes::MEMORY) || is_string(ours.operation);
    // The full decoder follows Intel.
    let is_amd_movsxd = ours.vendor == Vendor::Amd && full.code() == Code::Movsxd_r16_rm16;
    let bytes = if is_amd_movsxd { 4 } else { full.memory_size().size() as u64 };
    string_address.is_none_or(|size| size == ours.address_size)
        && (!accesses_memory || bytes == ours.memory_size.bytes())
}
