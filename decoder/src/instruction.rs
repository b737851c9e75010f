//! A decoded instruction.

use crate::bits::EFER_LMA;
use crate::{SegmentState, Size, Vendor};
use bitflags::bitflags;

/// How code is read: the default sizes of operands and addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Real mode, virtual-8086 mode, and protected mode with CS.D clear.
    Bits16,
    /// Protected mode, or compatibility mode, with CS.D set.
    Bits32,
    /// 64-bit mode.
    Bits64,
}

impl Mode {
    /// The mode that EFER and the attributes of CS (as in [`SegmentState::attributes`]) mean.
    #[inline]
    pub const fn new(efer: u64, cs_attributes: u16) -> Mode {
        if efer & EFER_LMA != 0 && cs_attributes & SegmentState::LONG != 0 {
            Mode::Bits64
        } else if cs_attributes & SegmentState::BIG != 0 {
            Mode::Bits32
        } else {
            Mode::Bits16
        }
    }

    /// The bits of linear addresses, and of RIP: 16-bit code keeps 32 of it, as code that runs beyond the
    /// limit of CS faults and doesn't wrap.
    #[inline]
    pub const fn linear_mask(self) -> u64 {
        match self {
            Mode::Bits64 => u64::MAX,
            _ => 0xffff_ffff,
        }
    }
}

/// A segment register, numbered as in encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the registers'")]
pub enum Segment {
    Es = 0,
    Cs = 1,
    Ss = 2,
    Ds = 3,
    Fs = 4,
    Gs = 5,
}

/// A part of a memory operand's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Register {
    /// Nothing is added.
    None,
    /// A general register, below 16.
    Gpr(u8),
    /// The address of the next instruction.
    Rip,
}

/// What an instruction reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// No operand, or one the operation implies.
    None,
    /// A general register, below 16, at the operand's size.
    Gpr(u8),
    /// AH, CH, DH or BH: bits 15:8 of the general register of this number, below 4.
    HighByte(u8),
    /// The memory operand.
    Memory,
    /// [`Instruction::immediate`].
    Immediate,
    /// An XMM register, below 16.
    Xmm(u8),
    /// A control register, below 16.
    Control(u8),
    /// A debug register, below 16.
    Debug(u8),
}

/// What an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the manuals' mnemonics")]
pub enum Operation {
    Mov,
    /// MOVZX; the source has [`Instruction::memory_size`].
    Movzx,
    /// MOVSX and MOVSXD; the source has [`Instruction::memory_size`].
    Movsx,
    Movbe,
    Xchg,
    Xadd,
    Cmpxchg,
    /// CMPXCHG8B and CMPXCHG16B, by [`Instruction::memory_size`].
    CmpxchgPair,
    Add,
    Or,
    Adc,
    Sbb,
    And,
    Sub,
    Xor,
    Cmp,
    Test,
    Not,
    Neg,
    Inc,
    Dec,
    Bt,
    Bts,
    Btr,
    Btc,
    Movs,
    Cmps,
    Stos,
    Lods,
    Scas,
    Ins,
    Outs,
    Push,
    Pop,
    /// A move between an XMM register and memory, of [`Instruction::memory_size`]; a load clears what it
    /// doesn't fill.
    MovVector,
    Cpuid,
    Rdmsr,
    Wrmsr,
    Rdtsc,
    Rdtscp,
    Hlt,
    Vmmcall,
    Xsetbv,
    Invd,
    Wbinvd,
    Clts,
    Lmsw,
    MovControl,
    MovDebug,
    In,
    Out,
}

bitflags! {
    /// Prefixes that change what an instruction does, and what else there is to know.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Attributes: u8 {
        /// LOCK, or XCHG with memory, which needs no prefix.
        const LOCK = 1 << 0;
        /// REP or REPE (F3) before a string operation.
        const REP = 1 << 1;
        /// REPNE (F2) before a string operation.
        const REPNE = 1 << 2;
        /// The memory operand must be aligned to its size, or #GP.
        const ALIGNED = 1 << 3;
        /// There is a memory operand that the addressing fields describe.
        const MEMORY = 1 << 4;
        /// The emulator may take its short cut. Clearing this makes no difference but to how long it takes.
        const PLAIN = 1 << 5;
    }
}

/// A decoded instruction: everything [`emulate`](crate::emulate) needs except the machine's state. It may be
/// kept and emulated again as long as the code bytes and [`Mode`] are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// What it does.
    pub operation: Operation,
    /// Its length in bytes, 1 to 15.
    pub length: u8,
    /// The mode it was decoded for.
    pub mode: Mode,
    /// The maker of the processor it was decoded for.
    pub vendor: Vendor,
    /// The size of the operation and of its register operands.
    pub size: Size,
    /// The size of one access to memory.
    pub memory_size: Size,
    /// The size of addresses, and of the registers that string operations count with: two, four or eight
    /// bytes.
    pub address_size: Size,
    /// Prefixes and the like.
    pub attributes: Attributes,
    /// The first operand, which is written unless the operation only compares.
    pub destination: Operand,
    /// The second operand.
    pub source: Operand,
    /// The segment of the memory operand, or of rSI in a string operation.
    pub segment: Segment,
    /// The base of the memory operand's address.
    pub base: Register,
    /// The index of the memory operand's address.
    pub index: Register,
    /// The index is shifted left by this, 0 to 3.
    pub scale: u8,
    /// The displacement, sign-extended.
    pub displacement: u64,
    /// The immediate, sign-extended to the operand's size and then to 64 bits.
    pub immediate: u64,
}

// Small enough to be kept by the dozen and copied without a thought.
const _: () = assert!(size_of::<Instruction>() <= 48);
