//! What of a full decoder's instructions is accepted: what may touch memory, and does nothing to the x87 unit
//! or to wider vectors.

use iced_x86::{ConditionCode, Instruction as Full, MemorySize, Mnemonic, OpKind, Register};

use crate::{Attributes, Features, Operation, Processor};

/// An accepted instruction.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) operation: Operation,
    pub(super) needs: Features,
    pub(super) attributes: Attributes,
}

impl Entry {
    /// LZCNT and TZCNT are BSR and BSF with a prefix that a processor without them ignores.
    pub(super) fn on(self, processor: Processor) -> Entry {
        let instead = match self.operation {
            Operation::Lzcnt => Operation::Bsr,
            Operation::Tzcnt => Operation::Bsf,
            _ => return self,
        };
        let has = processor.features.contains(self.needs);
        if has { self } else { Entry { operation: instead, needs: Features::empty(), ..self } }
    }
}

/// The entry for an instruction, if it is accepted.
pub(super) fn find(full: &Full) -> Option<Entry> {
    let always = |operation| (operation, Features::empty());
    let mnemonic = full.mnemonic();
    // Most have one meaning for each mnemonic; where operands or CPUID decide, the later steps look.
    let (operation, needs) = integer(mnemonic)
        .or_else(|| by_operands(full))
        .or_else(|| stack(mnemonic))
        .or_else(|| system(mnemonic))
        .map(always)
        .or_else(|| extension(mnemonic))
        .or_else(|| vector(full))?;
    // Of these moves only a load of sixteen bytes has to be aligned, and the short tables have all of those.
    Some(Entry { operation, needs, attributes: Attributes::empty() })
}

/// Whether an instruction of one operand writes it.
pub(super) fn writes_only_operand(full: &Full) -> bool {
    use Mnemonic::*;
    matches!(full.mnemonic(), Pop | Smsw | Sldt | Str | Sgdt | Sidt)
        || full.condition_code() != ConditionCode::None
}

fn integer(mnemonic: Mnemonic) -> Option<Operation> {
    use Mnemonic as M;
    Some(match mnemonic {
        M::Bsf => Operation::Bsf,
        M::Bsr => Operation::Bsr,
        M::Mul => Operation::Mul,
        M::Div => Operation::Div,
        M::Idiv => Operation::Idiv,
        M::Rol => Operation::Rol,
        M::Ror => Operation::Ror,
        M::Rcl => Operation::Rcl,
        M::Rcr => Operation::Rcr,
        M::Shl | M::Sal => Operation::Shl,
        M::Shr => Operation::Shr,
        M::Sar => Operation::Sar,
        M::Xlatb => Operation::Xlat,
        M::Bound => Operation::Bound,
        M::Arpl => Operation::Arpl,
        M::Lds | M::Les | M::Lss | M::Lfs | M::Lgs => Operation::LoadFar,
        M::Clflush | M::Clflushopt | M::Clwb => Operation::CacheLine,
        _ => return None,
    })
}

/// What the mnemonic alone does not tell.
fn by_operands(full: &Full) -> Option<Operation> {
    use Mnemonic as M;
    let is_memory = full.op0_kind() == OpKind::Memory;
    let is_far = matches!(full.op0_kind(), OpKind::FarBranch16 | OpKind::FarBranch32)
        || is_memory && full.memory_size().size() > 2 && is_far_pointer(full.memory_size());
    Some(match (full.mnemonic(), full.op_count()) {
        (M::Imul, 1) => Operation::ImulWide,
        (M::Imul, 2) => Operation::Imul,
        (M::Imul, 3) => Operation::ImulImmediate,
        (M::Shld, _) if full.op2_kind() == OpKind::Register => Operation::ShldCl,
        (M::Shld, _) => Operation::Shld,
        (M::Shrd, _) if full.op2_kind() == OpKind::Register => Operation::ShrdCl,
        (M::Shrd, _) => Operation::Shrd,
        (M::Jmp, _) if is_far => Operation::JmpFar,
        (M::Jmp, _) if is_memory => Operation::Jmp,
        (M::Call, _) if is_far => Operation::CallFar,
        (M::Call, _) if full.op0_kind() == OpKind::Register || is_memory => Operation::Call,
        (M::Call, _) => Operation::CallRelative,
        (M::Mov, _) if has_register(full, Register::is_segment_register) => Operation::MovSegment,
        // Jcc and LOOPcc have one operand, which is no memory.
        (_, 2) if full.condition_code() != ConditionCode::None => Operation::Cmov,
        (_, 1) if full.condition_code() != ConditionCode::None && is_memory => Operation::Set,
        _ => return None,
    })
}

fn has_register(full: &Full, is_wanted: impl Fn(Register) -> bool) -> bool {
    (0..full.op_count()).any(|index| is_wanted(full.op_register(index)))
}

fn is_far_pointer(size: MemorySize) -> bool {
    matches!(size, MemorySize::SegPtr16 | MemorySize::SegPtr32 | MemorySize::SegPtr64)
}

fn stack(mnemonic: Mnemonic) -> Option<Operation> {
    use Mnemonic as M;
    Some(match mnemonic {
        M::Push => Operation::PushRegister,
        M::Pop => Operation::PopRegister,
        M::Pusha | M::Pushad => Operation::Pusha,
        M::Popa | M::Popad => Operation::Popa,
        M::Pushf | M::Pushfd | M::Pushfq => Operation::Pushf,
        M::Popf | M::Popfd | M::Popfq => Operation::Popf,
        M::Enter => Operation::Enter,
        M::Leave => Operation::Leave,
        M::Ret => Operation::Ret,
        M::Retf => Operation::RetFar,
        M::Iret | M::Iretd | M::Iretq => Operation::Iret,
        _ => return None,
    })
}

fn system(mnemonic: Mnemonic) -> Option<Operation> {
    use Mnemonic as M;
    Some(match mnemonic {
        M::Smsw => Operation::Smsw,
        M::Sgdt => Operation::Sgdt,
        M::Sidt => Operation::Sidt,
        M::Sldt => Operation::Sldt,
        M::Str => Operation::Str,
        M::Lgdt => Operation::Lgdt,
        M::Lidt => Operation::Lidt,
        M::Lldt => Operation::Lldt,
        M::Ltr => Operation::Ltr,
        M::Lar => Operation::Lar,
        M::Lsl => Operation::Lsl,
        M::Verr => Operation::Verr,
        M::Verw => Operation::Verw,
        _ => return None,
    })
}

/// What CPUID may or may not offer.
fn extension(mnemonic: Mnemonic) -> Option<(Operation, Features)> {
    use Mnemonic as M;
    Some(match mnemonic {
        M::Tzcnt => (Operation::Tzcnt, Features::BMI1),
        M::Lzcnt => (Operation::Lzcnt, Features::LZCNT),
        M::Popcnt => (Operation::Popcnt, Features::POPCNT),
        M::Crc32 => (Operation::Crc32, Features::SSE4_2),
        M::Adcx => (Operation::Adcx, Features::ADX),
        M::Adox => (Operation::Adox, Features::ADX),
        M::Andn => (Operation::Andn, Features::BMI1),
        M::Bextr => (Operation::Bextr, Features::BMI1),
        M::Blsi => (Operation::Blsi, Features::BMI1),
        M::Blsmsk => (Operation::Blsmsk, Features::BMI1),
        M::Blsr => (Operation::Blsr, Features::BMI1),
        M::Bzhi => (Operation::Bzhi, Features::BMI2),
        M::Pdep => (Operation::Pdep, Features::BMI2),
        M::Pext => (Operation::Pext, Features::BMI2),
        M::Rorx => (Operation::Rorx, Features::BMI2),
        M::Shlx => (Operation::Shlx, Features::BMI2),
        M::Shrx => (Operation::Shrx, Features::BMI2),
        M::Sarx => (Operation::Sarx, Features::BMI2),
        M::Mulx => (Operation::Mulx, Features::BMI2),
        // A store whose data goes past the cache: a device sees no difference.
        M::Movdiri => (Operation::Mov, Features::MOVDIRI),
        _ => return None,
    })
}

/// Moves of MMX registers, and those of XMM registers that the short tables do not have.
fn vector(full: &Full) -> Option<(Operation, Features)> {
    use Mnemonic as M;
    let has_mmx = has_register(full, Register::is_mm);
    Some(match full.mnemonic() {
        M::Movd | M::Movq if has_mmx => (Operation::MovMmx, Features::MMX),
        M::Movntq => (Operation::MovMmx, Features::SSE),
        // Of the string instruction of the same name the short tables know.
        M::Movsd if has_register(full, Register::is_xmm) => (Operation::MovVector, Features::SSE2),
        M::Movss => (Operation::MovVector, Features::SSE),
        M::Lddqu => (Operation::MovVector, Features::SSE3),
        M::Movlps | M::Movhps => (Operation::MovVectorHalf, Features::SSE),
        M::Movlpd | M::Movhpd => (Operation::MovVectorHalf, Features::SSE2),
        M::Movntss | M::Movntsd => (Operation::MovVector, Features::SSE4A),
        _ => return None,
    })
}
