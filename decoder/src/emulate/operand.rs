//! Registers and immediates as operands (APM 3, 1.2.7 and 1.4).

use super::{Emulation, Result};
use crate::walk::Kind;
use crate::{Machine, Operand, Size};

impl<M: Machine> Emulation<'_, M> {
    /// The value of an operand that is not in memory, at the instruction's operand size.
    #[inline]
    pub(super) fn value(&self, operand: Operand) -> u64 {
        let mask = self.instruction.size.mask();
        match operand {
            Operand::Gpr(number) => self.machine.gpr(number) & mask,
            // AH, CH, DH and BH, of the first four registers.
            Operand::HighByte(number) => self.machine.gpr(number) >> 8 & 0xff,
            Operand::Immediate => self.instruction.immediate & mask,
            // Nobody asks for these here: vectors and segments have ways of their own, and control and debug
            // registers the VMM reads itself.
            Operand::None
            | Operand::Memory
            | Operand::Xmm(_)
            | Operand::Control(_)
            | Operand::Debug(_)
            | Operand::Segment(_)
            | Operand::Mmx(_) => 0,
        }
    }

    /// The value of the source operand, wherever it is.
    pub(super) fn source(&mut self) -> Result<u64> {
        if self.instruction.source != Operand::Memory {
            return Ok(self.value(self.instruction.source));
        }
        let place = self.operand_place(Kind::Read)?;
        Ok(self.load(place))
    }

    /// Sets a register operand, at the instruction's operand size.
    #[inline]
    pub(super) fn set(&mut self, operand: Operand, value: u64) {
        match operand {
            Operand::Gpr(number) => self.set_register(number, self.instruction.size, value),
            Operand::HighByte(number) => {
                let old = self.machine.gpr(number);
                self.machine.set_gpr(number, (old & !0xff00) | (value & 0xff) << 8);
            }
            Operand::None
            | Operand::Immediate
            | Operand::Memory
            | Operand::Xmm(_)
            | Operand::Control(_)
            | Operand::Debug(_)
            | Operand::Segment(_)
            | Operand::Mmx(_) => {}
        }
    }

    /// Sets the low `size` bytes of a general register: four clear the upper half, one and two leave the
    /// rest.
    #[inline]
    pub(super) fn set_register(&mut self, number: u8, size: Size, value: u64) {
        let value = match size {
            Size::B1 | Size::B2 => (self.machine.gpr(number) & !size.mask()) | (value & size.mask()),
            Size::B4 => value & size.mask(),
            Size::B8 | Size::B16 => value,
        };
        self.machine.set_gpr(number, value);
    }
}
