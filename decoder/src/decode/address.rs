//! ModRM, SIB and displacement (APM 3, 1.4 and 1.5).

use super::{Cursor, Rejection};
use crate::{Mode, Register, Segment, Size};

/// The fields of a ModRM byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModRm {
    /// MOD: 3 is a register.
    pub(super) mode: u8,
    pub(super) reg: u8,
    pub(super) rm: u8,
}

impl ModRm {
    pub(super) fn new(byte: u8) -> ModRm {
        ModRm { mode: byte >> 6, reg: byte >> 3 & 7, rm: byte & 7 }
    }

    pub(super) fn read(cursor: &mut Cursor) -> Result<ModRm, Rejection> {
        cursor.next().map(ModRm::new)
    }
}

/// The addressing fields of an [`Instruction`](crate::Instruction).
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    /// DS, or SS where rBP or rSP is the base.
    pub(super) default_segment: Segment,
    pub(super) base: Register,
    pub(super) index: Register,
    pub(super) scale: u8,
    pub(super) displacement: u64,
}

const BP: u8 = 5;
const SP: u8 = 4;
/// As a base with MOD 0: a 32-bit displacement and no base.
const NO_BASE: u8 = 5;
/// As an index: none. As RM: a SIB byte follows.
const SIB: u8 = 4;

impl Address {
    pub(super) fn read(
        cursor: &mut Cursor,
        modrm: ModRm,
        size: Size,
        mode: Mode,
        rex: u8,
    ) -> Result<Address, Rejection> {
        if size == Size::B2 { Self::read_16(cursor, modrm) } else { Self::read_32(cursor, modrm, mode, rex) }
    }

    fn read_16(cursor: &mut Cursor, modrm: ModRm) -> Result<Address, Rejection> {
        const BX: u8 = 3;
        const SI: u8 = 6;
        const DI: u8 = 7;
        // Sixteen-bit addresses know eight sums of registers, and no scale.
        let (base, index) = match modrm.rm {
            0 => (BX, Some(SI)),
            1 => (BX, Some(DI)),
            2 => (BP, Some(SI)),
            3 => (BP, Some(DI)),
            4 => (SI, None),
            5 => (DI, None),
            6 => (BP, None),
            _ => (BX, None),
        };
        // In the place of BP alone, without a displacement: an address alone.
        if modrm.mode == 0 && modrm.rm == 6 {
            return Ok(Address { displacement: cursor.signed(Size::B2)?, ..Address::default() });
        }
        Ok(Address {
            default_segment: default_segment(base),
            base: Register::Gpr(base),
            index: index.map_or(Register::None, Register::Gpr),
            scale: 0,
            displacement: displacement(cursor, modrm.mode, Size::B2)?,
        })
    }

    fn read_32(cursor: &mut Cursor, modrm: ModRm, mode: Mode, rex: u8) -> Result<Address, Rejection> {
        let mut address = Address::default();
        let mut base = modrm.rm;
        if modrm.rm == SIB {
            let sib = ModRm::read(cursor)?;
            base = sib.rm;
            // Before the comparison below, as REX.X makes another register of number 4.
            let index = sib.reg | (rex & 2) << 2;
            // Without REX.X number 4 is no index; with it, it is R12, an index like others.
            if index != SIB {
                address.index = Register::Gpr(index);
                address.scale = sib.mode;
            }
        } else if modrm.mode == 0 && modrm.rm == NO_BASE && mode == Mode::Bits64 {
            // 64-bit code has given this encoding a meaning of its own; with a SIB byte it is as it was.
            address.base = Register::Rip;
        }
        // RIP-relative, and SIB without a base. REX.B is not looked at: R13 has no such form either.
        if modrm.mode == 0 && base == NO_BASE {
            address.displacement = cursor.signed(Size::B4)?;
            return Ok(address);
        }
        let base = base | (rex & 1) << 3;
        address.default_segment = default_segment(base);
        address.base = Register::Gpr(base);
        address.displacement = displacement(cursor, modrm.mode, Size::B4)?;
        Ok(address)
    }
}

fn default_segment(base: u8) -> Segment {
    // R12 and R13, which share their lower bits with these, have DS: the whole number is compared.
    if base == BP || base == SP { Segment::Ss } else { Segment::Ds }
}

/// The displacement after a base: none, a byte, or `size`.
fn displacement(cursor: &mut Cursor, mode: u8, size: Size) -> Result<u64, Rejection> {
    match mode {
        1 => cursor.signed(Size::B1),
        2 => cursor.signed(size),
        _ => Ok(0),
    }
}
