//! The tables of accepted opcodes: for each, the operation and where its operands are (APM 3, appendix A).

use super::address::ModRm;
use super::prefixes::{Mandatory, Prefixes};
use super::{Cursor, Rejection};
use crate::{Attributes, Features, Mode, Operation, Processor, Size, Vendor};

/// Where an operand is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    None,
    /// ModRM.rm: memory, or a register where the form has no memory operand.
    Rm,
    /// ModRM.reg, a general register.
    Reg,
    /// ModRM.reg, an XMM register.
    Xmm,
    /// ModRM.reg, a control register.
    Control,
    /// ModRM.reg, a debug register.
    Debug,
    /// An address after the opcode.
    Moffs,
    /// AL, AX, EAX or RAX.
    Accumulator,
    /// DX.
    Dx,
    /// An immediate byte, zero-extended.
    Byte,
    /// An immediate byte, sign-extended.
    SignedByte,
    /// An immediate of the operand's size, at most four bytes, sign-extended.
    Immediate,
}

/// What decides the operand's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// REX.W, the operand-size prefix and the mode.
    Full,
    /// The same, but four bytes at most: REX.W then undoes an operand-size prefix.
    Narrow,
    /// The operand-size prefix and the mode, eight bytes by default in 64-bit mode.
    Stack,
    /// Four bytes, or eight with REX.W.
    FourOrEight,
    /// Eight bytes in 64-bit mode, four elsewhere.
    Native,
    Fixed(Size),
}

impl Width {
    pub(super) fn size(self, prefixes: &Prefixes, mode: Mode) -> Size {
        let narrow = prefixes.narrow_size(mode);
        match self {
            // REX.W goes before an operand-size prefix.
            Width::Full if prefixes.rex_w() => Size::B8,
            Width::Narrow if prefixes.rex_w() => Size::B4,
            Width::Full | Width::Narrow => narrow,
            Width::Stack if mode == Mode::Bits64 && (prefixes.rex_w() || narrow == Size::B4) => Size::B8,
            Width::Stack => narrow,
            Width::FourOrEight if prefixes.rex_w() => Size::B8,
            Width::Native if mode == Mode::Bits64 => Size::B8,
            Width::FourOrEight | Width::Native => Size::B4,
            Width::Fixed(size) => size,
        }
    }
}

/// How one opcode is decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) operation: Operation,
    pub(super) width: Width,
    pub(super) destination: Slot,
    pub(super) source: Slot,
    /// The size of the access to memory, where it isn't the operand's.
    pub(super) memory: Option<Size>,
    pub(super) has_modrm: bool,
    /// ModRM.rm is a register whatever MOD says.
    pub(super) is_register_only: bool,
    pub(super) attributes: Attributes,
    /// What the processor must have.
    pub(super) needs: Features,
}

impl Form {
    fn new(operation: Operation, width: Width, destination: Slot, source: Slot) -> Form {
        let in_modrm = |slot| matches!(slot, Slot::Rm | Slot::Reg | Slot::Xmm | Slot::Control | Slot::Debug);
        Form {
            operation,
            width,
            destination,
            source,
            memory: None,
            has_modrm: in_modrm(destination) || in_modrm(source),
            is_register_only: matches!(operation, Operation::MovControl | Operation::MovDebug),
            attributes: Attributes::empty(),
            needs: Features::empty(),
        }
    }

    fn with_memory(self, size: Size) -> Form {
        Form { memory: Some(size), ..self }
    }

    fn with(self, attributes: Attributes) -> Form {
        Form { attributes, ..self }
    }

    fn needing(self, needs: Features) -> Form {
        Form { needs, ..self }
    }

    pub(super) fn uses(&self, slot: Slot) -> bool {
        self.destination == slot || self.source == slot
    }

    pub(super) fn is_lockable(&self) -> bool {
        use Operation::*;
        // With another destination nothing in memory is changed, and LOCK is undefined.
        self.destination == Slot::Rm
            && matches!(
                self.operation,
                Add | Or
                    | Adc
                    | Sbb
                    | And
                    | Sub
                    | Xor
                    | Not
                    | Neg
                    | Inc
                    | Dec
                    | Xchg
                    | Xadd
                    | Cmpxchg
                    | CmpxchgPair
                    | Bts
                    | Btr
                    | Btc
            )
    }
}

const BYTE: Width = Width::Fixed(Size::B1);

/// The arithmetic operations in the order of opcodes 00 to 3F and of group 1.
const ARITHMETIC: [Operation; 8] = [
    Operation::Add,
    Operation::Or,
    Operation::Adc,
    Operation::Sbb,
    Operation::And,
    Operation::Sub,
    Operation::Xor,
    Operation::Cmp,
];

fn arithmetic(bits: u8) -> Operation {
    ARITHMETIC[usize::from(bits & 7)]
}

/// Odd opcodes have full operands, even ones bytes.
fn width(opcode: u8) -> Width {
    if opcode & 1 == 0 { BYTE } else { Width::Full }
}

/// Reads the opcode and looks it up.
pub(super) fn read(
    cursor: &mut Cursor,
    prefixes: &Prefixes,
    mode: Mode,
    processor: Processor,
) -> Result<Form, Rejection> {
    let opcode = cursor.next()?;
    // In other modes 63h is ARPL.
    if opcode == 0x63 && mode == Mode::Bits64 {
        return Ok(movsxd(prefixes, mode, processor.vendor));
    }
    if opcode != 0x0f {
        return one_byte(opcode, cursor, mode);
    }
    // SSE's moves come before the two-byte opcodes, since a mandatory prefix selects among them.
    match cursor.next()? {
        0x38 => three_byte(cursor.next()?, prefixes),
        0x01 => group_7(cursor, prefixes),
        opcode => match vector(opcode, prefixes) {
            Some(form) => Ok(form),
            None => two_byte(opcode, cursor, prefixes),
        },
    }
}

fn one_byte(opcode: u8, cursor: &mut Cursor, mode: Mode) -> Result<Form, Rejection> {
    use Operation::*;
    use Slot::{Accumulator, Byte, Dx, Immediate, Moffs, Reg, Rm, SignedByte};
    let width = width(opcode);
    // Ports are 32 bits wide at most, so REX.W does not make them wider.
    let io = if width == BYTE { BYTE } else { Width::Narrow };
    Ok(match opcode {
        // Eight rows of the same eight columns; the last two columns are prefixes and old instructions.
        0x00..=0x3f => match opcode & 7 {
            0 | 1 => Form::new(arithmetic(opcode >> 3), width, Rm, Reg),
            2 | 3 => Form::new(arithmetic(opcode >> 3), width, Reg, Rm),
            // The accumulator and an immediate.
            4 | 5 => return Err(Rejection::NoMemory),
            _ => return Err(Rejection::Unsupported),
        },
        0x6c | 0x6d => Form::new(Ins, io, Slot::None, Dx),
        0x6e | 0x6f => Form::new(Outs, io, Dx, Slot::None),
        // An alias of 80h, which 64-bit mode has taken away.
        0x82 if mode == Mode::Bits64 => return Err(Rejection::Undefined),
        0x80 | 0x82 => Form::new(arithmetic(group(cursor)?), BYTE, Rm, Immediate),
        0x81 => Form::new(arithmetic(group(cursor)?), Width::Full, Rm, Immediate),
        0x83 => Form::new(arithmetic(group(cursor)?), Width::Full, Rm, SignedByte),
        0x84 | 0x85 => Form::new(Test, width, Rm, Reg),
        // With memory it locks the bus whether or not it is told to (APM 3, XCHG).
        0x86 | 0x87 => Form::new(Xchg, width, Rm, Reg).with(Attributes::LOCK),
        0x88 | 0x89 => Form::new(Mov, width, Rm, Reg),
        0x8a | 0x8b => Form::new(Mov, width, Reg, Rm),
        // Its other encodings are XOP's.
        0x8f if group(cursor)? == 0 => Form::new(Pop, Width::Stack, Rm, Slot::None),
        0xa0 | 0xa1 => Form::new(Mov, width, Accumulator, Moffs),
        0xa2 | 0xa3 => Form::new(Mov, width, Moffs, Accumulator),
        0xa4 | 0xa5 => Form::new(Movs, width, Slot::None, Slot::None),
        0xa6 | 0xa7 => Form::new(Cmps, width, Slot::None, Slot::None),
        0xaa | 0xab => Form::new(Stos, width, Slot::None, Slot::None),
        0xac | 0xad => Form::new(Lods, width, Slot::None, Slot::None),
        0xae | 0xaf => Form::new(Scas, width, Slot::None, Slot::None),
        // The other encodings are those of transactional memory, or none.
        0xc6 | 0xc7 if group(cursor)? == 0 => Form::new(Mov, width, Rm, Immediate),
        0xe4 | 0xe5 => Form::new(In, io, Accumulator, Byte),
        0xe6 | 0xe7 => Form::new(Out, io, Byte, Accumulator),
        0xec | 0xed => Form::new(In, io, Accumulator, Dx),
        0xee | 0xef => Form::new(Out, io, Dx, Accumulator),
        0xf4 => Form::new(Hlt, BYTE, Slot::None, Slot::None),
        0xf6 | 0xf7 => match group(cursor)? {
            // The second encoding is not in every manual, but in every processor.
            0 | 1 => Form::new(Test, width, Rm, Immediate),
            2 => Form::new(Not, width, Rm, Slot::None),
            3 => Form::new(Neg, width, Rm, Slot::None),
            _ => return Err(Rejection::Unsupported),
        },
        0xfe | 0xff => match group(cursor)? {
            0 => Form::new(Inc, width, Rm, Slot::None),
            1 => Form::new(Dec, width, Rm, Slot::None),
            6 if opcode == 0xff => Form::new(Push, Width::Stack, Slot::None, Rm),
            _ => return Err(Rejection::Unsupported),
        },
        _ => return Err(Rejection::Unsupported),
    })
}

/// MOVSXD: from four bytes; into two, Intel's processors read two and AMD's four.
fn movsxd(prefixes: &Prefixes, mode: Mode, vendor: Vendor) -> Form {
    let memory = match vendor {
        Vendor::Amd => Size::B4,
        Vendor::Intel => Width::Full.size(prefixes, mode).min(Size::B4),
    };
    Form::new(Operation::Movsx, Width::Full, Slot::Reg, Slot::Rm).with_memory(memory)
}

/// The operation within a group: ModRM.reg, ModRM staying unread.
fn group(cursor: &Cursor) -> Result<u8, Rejection> {
    // It is read again, whole, with the operands.
    Ok(ModRm::new(cursor.peek()?).reg)
}

fn two_byte(opcode: u8, cursor: &mut Cursor, prefixes: &Prefixes) -> Result<Form, Rejection> {
    use Operation::*;
    use Slot::{Control, Debug, Reg, Rm};
    let width = width(opcode);
    let plain = |operation| Form::new(operation, BYTE, Slot::None, Slot::None);
    Ok(match opcode {
        0x06 => plain(Clts),
        0x08 => plain(Invd),
        0x09 => plain(Wbinvd),
        0x20 => Form::new(MovControl, Width::Native, Rm, Control),
        0x21 => Form::new(MovDebug, Width::Native, Rm, Debug),
        0x22 => Form::new(MovControl, Width::Native, Control, Rm),
        0x23 => Form::new(MovDebug, Width::Native, Debug, Rm),
        0x30 => plain(Wrmsr),
        0x31 => plain(Rdtsc),
        0x32 => plain(Rdmsr),
        0xa2 => plain(Cpuid),
        0xa3 => Form::new(Bt, Width::Full, Rm, Reg),
        0xab => Form::new(Bts, Width::Full, Rm, Reg),
        0xb0 | 0xb1 => Form::new(Cmpxchg, width, Rm, Reg),
        0xb3 => Form::new(Btr, Width::Full, Rm, Reg),
        0xb6 => Form::new(Movzx, Width::Full, Reg, Rm).with_memory(Size::B1),
        0xb7 => Form::new(Movzx, Width::Full, Reg, Rm).with_memory(Size::B2),
        0xba => Form::new(bit_operation(group(cursor)?)?, Width::Full, Rm, Slot::Byte),
        0xbb => Form::new(Btc, Width::Full, Rm, Reg),
        0xbe => Form::new(Movsx, Width::Full, Reg, Rm).with_memory(Size::B1),
        0xbf => Form::new(Movsx, Width::Full, Reg, Rm).with_memory(Size::B2),
        0xc0 | 0xc1 => Form::new(Xadd, width, Rm, Reg),
        // MOVNTI. Where its data goes past the cache, a device sees no difference.
        0xc3 if prefixes.mandatory() == Mandatory::None => {
            Form::new(Mov, Width::FourOrEight, Rm, Reg).needing(Features::SSE2)
        }
        // The group has state instructions and random numbers besides.
        0xc7 if group(cursor)? == 1 => cmpxchg_pair(prefixes),
        _ => return Err(Rejection::Unsupported),
    })
}

fn cmpxchg_pair(prefixes: &Prefixes) -> Form {
    let (size, memory) = if prefixes.rex_w() { (Size::B8, Size::B16) } else { (Size::B4, Size::B8) };
    let form =
        Form::new(Operation::CmpxchgPair, Width::Fixed(size), Slot::Rm, Slot::None).with_memory(memory);
    if memory == Size::B16 {
        // #GP where it is not aligned (APM 3, CMPXCHG16B); CMPXCHG8B need not be.
        form.with(Attributes::ALIGNED).needing(Features::CX16)
    } else {
        form.needing(Features::CX8)
    }
}

/// Group 8.
fn bit_operation(reg: u8) -> Result<Operation, Rejection> {
    match reg {
        4 => Ok(Operation::Bt),
        5 => Ok(Operation::Bts),
        6 => Ok(Operation::Btr),
        7 => Ok(Operation::Btc),
        _ => Err(Rejection::Undefined),
    }
}

/// 0F 01: LMSW, and instructions that are whole ModRM bytes.
fn group_7(cursor: &mut Cursor, prefixes: &Prefixes) -> Result<Form, Rejection> {
    let modrm = cursor.peek()?;
    // LMSW has its ModRM byte read as any other operand's; in the instructions below that byte is the
    // opcode's third, and is taken here.
    if ModRm::new(modrm).reg == 6 {
        return Ok(Form::new(Operation::Lmsw, Width::Fixed(Size::B2), Slot::None, Slot::Rm));
    }
    // With another prefix the same bytes are other instructions, or none.
    let operation = match (modrm, prefixes.mandatory()) {
        (0xd1, Mandatory::None) => Operation::Xsetbv,
        (0xd9, Mandatory::None) => Operation::Vmmcall,
        (0xf9, Mandatory::None) => Operation::Rdtscp,
        _ => return Err(Rejection::Unsupported),
    };
    cursor.next()?;
    Ok(Form::new(operation, BYTE, Slot::None, Slot::None))
}

/// 0F 38: MOVBE and MOVNTDQA.
fn three_byte(opcode: u8, prefixes: &Prefixes) -> Result<Form, Rejection> {
    match (opcode, prefixes.mandatory()) {
        (0xf0, Mandatory::None | Mandatory::P66) => {
            Ok(Form::new(Operation::Movbe, Width::Full, Slot::Reg, Slot::Rm).needing(Features::MOVBE))
        }
        (0xf1, Mandatory::None | Mandatory::P66) => {
            Ok(Form::new(Operation::Movbe, Width::Full, Slot::Rm, Slot::Reg).needing(Features::MOVBE))
        }
        (0x2a, Mandatory::P66) => {
            Ok(vector_load(Size::B16).with(Attributes::ALIGNED).needing(Features::SSE4_1))
        }
        _ => Err(Rejection::Unsupported),
    }
}

fn vector_load(memory: Size) -> Form {
    Form::new(Operation::MovVector, Width::Fixed(Size::B16), Slot::Xmm, Slot::Rm).with_memory(memory)
}

fn vector_store(memory: Size) -> Form {
    Form::new(Operation::MovVector, Width::Fixed(Size::B16), Slot::Rm, Slot::Xmm).with_memory(memory)
}

/// SSE moves, selected by opcode and mandatory prefix.
fn vector(opcode: u8, prefixes: &Prefixes) -> Option<Form> {
    use Mandatory::{F3, None as Np, P66};
    let aligned = Attributes::ALIGNED;
    let doubleword = if prefixes.rex_w() { Size::B8 } else { Size::B4 };
    let mandatory = prefixes.mandatory();
    // The packed-single forms are SSE's; all with a mandatory prefix came with SSE2.
    let needs = if mandatory == Np { Features::SSE } else { Features::SSE2 };
    let form = match (opcode, mandatory) {
        // MOVUPS, MOVUPD, MOVDQU.
        (0x10, Np | P66) | (0x6f, F3) => vector_load(Size::B16),
        (0x11, Np | P66) | (0x7f, F3) => vector_store(Size::B16),
        // MOVAPS, MOVAPD, MOVDQA.
        (0x28, Np | P66) | (0x6f, P66) => vector_load(Size::B16).with(aligned),
        (0x29, Np | P66) | (0x7f, P66) => vector_store(Size::B16).with(aligned),
        // MOVNTPS, MOVNTPD, MOVNTDQ.
        (0x2b, Np | P66) | (0xe7, P66) => vector_store(Size::B16).with(aligned),
        // MOVD and MOVQ from and to what could be a general register.
        (0x6e, P66) => vector_load(doubleword),
        (0x7e, P66) => vector_store(doubleword),
        // MOVQ.
        (0x7e, F3) => vector_load(Size::B8),
        (0xd6, P66) => vector_store(Size::B8),
        _ => return None,
    };
    Some(form.needing(needs))
}
