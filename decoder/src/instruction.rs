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

impl Segment {
    /// The segment register of an encoding's number; GS for more than there are.
    pub(crate) const fn of(number: u8) -> Segment {
        match number {
            0 => Segment::Es,
            1 => Segment::Cs,
            2 => Segment::Ss,
            3 => Segment::Ds,
            4 => Segment::Fs,
            _ => Segment::Gs,
        }
    }
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
    /// A segment register, numbered as [`Segment`] is.
    Segment(u8),
    /// An MMX register, below 8.
    Mmx(u8),
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
    /// CMOVcc; the condition's number (0 to 15) is [`Instruction::immediate`].
    Cmov,
    /// SETcc; the condition as for CMOVcc.
    Set,
    Bsf,
    Bsr,
    Tzcnt,
    Lzcnt,
    Popcnt,
    /// CRC32; the source has [`Instruction::memory_size`].
    Crc32,
    Mul,
    /// IMUL with one operand: rDX:rAX is rAX times the source.
    ImulWide,
    /// IMUL with two operands.
    Imul,
    /// IMUL with three.
    ImulImmediate,
    Div,
    Idiv,
    Rol,
    Ror,
    Rcl,
    Rcr,
    Shl,
    Shr,
    Sar,
    /// SHLD with a count in the immediate.
    Shld,
    /// SHLD with a count in CL.
    ShldCl,
    /// SHRD with a count in the immediate.
    Shrd,
    /// SHRD with a count in CL.
    ShrdCl,
    Adcx,
    Adox,
    /// ANDN; the number of the register that is inverted is [`Instruction::immediate`].
    Andn,
    /// BEXTR; the number of the register with start and length is [`Instruction::immediate`].
    Bextr,
    Blsi,
    Blsmsk,
    Blsr,
    /// BZHI; the number of the register with the index is [`Instruction::immediate`].
    Bzhi,
    /// PDEP; the number of the register that is scattered is [`Instruction::immediate`].
    Pdep,
    /// PEXT; the number of the register that is gathered is [`Instruction::immediate`].
    Pext,
    Rorx,
    /// SHLX; the number of the register with the count is [`Instruction::immediate`].
    Shlx,
    /// SHRX, as SHLX.
    Shrx,
    /// SARX, as SHLX.
    Sarx,
    /// MULX; the number of the register for the lower half is [`Instruction::immediate`].
    Mulx,
    /// XLAT: AL is added to the memory operand's address.
    Xlat,
    Bound,
    Arpl,
    /// CLFLUSH, CLFLUSHOPT and CLWB.
    CacheLine,
    /// LDS, LES, LSS, LFS and LGS; the segment register's number is [`Instruction::immediate`].
    LoadFar,
    /// A move to or from a segment register.
    MovSegment,
    Smsw,
    Sgdt,
    Sidt,
    Sldt,
    Str,
    Lgdt,
    Lidt,
    Lldt,
    Ltr,
    Lar,
    Lsl,
    Verr,
    Verw,
    /// A near jump to where the source says.
    Jmp,
    /// A near call of where the source says.
    Call,
    /// A near call; [`Instruction::immediate`] is relative to the next instruction.
    CallRelative,
    /// A near return; [`Instruction::immediate`] bytes are taken off the stack besides.
    Ret,
    /// A far jump to the pointer in memory, or, without a source in memory, to [`Instruction::immediate`]:
    /// the offset in its lower half, the selector above.
    JmpFar,
    /// A far call, as the far jump.
    CallFar,
    /// A far return, as [`Operation::Ret`].
    RetFar,
    Iret,
    /// PUSH of a register or an immediate.
    PushRegister,
    /// POP to a register.
    PopRegister,
    Pusha,
    Popa,
    Pushf,
    Popf,
    /// ENTER; [`Instruction::immediate`] has the bytes in 15:0, the nesting level in 23:16.
    Enter,
    Leave,
    /// A move between an MMX register and memory, of [`Instruction::memory_size`].
    MovMmx,
    /// A move of half an XMM register; [`Instruction::immediate`] is 1 for the upper one. The other half
    /// stays.
    MovVectorHalf,
}

impl Operation {
    /// Whether it accesses the stack, without an operand that says so.
    pub(crate) const fn uses_stack(self) -> bool {
        use Operation::*;
        matches!(
            self,
            PushRegister
                | PopRegister
                | Call
                | CallRelative
                | Ret
                | CallFar
                | RetFar
                | Iret
                | Pusha
                | Popa
                | Pushf
                | Popf
                | Enter
                | Leave
        )
    }
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
