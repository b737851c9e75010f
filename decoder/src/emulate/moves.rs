//! MOV, MOVNTI, MOVZX, MOVSX, MOVSXD and MOVBE.

use super::{Emulation, Result};
use crate::walk::Kind;
use crate::{Machine, Operand, Operation, Size};

impl<M: Machine> Emulation<'_, M> {
    #[inline]
    pub(super) fn mov(&mut self) -> Result<()> {
        let instruction = self.instruction;
        if instruction.destination == Operand::Memory {
            let value = self.value(instruction.source);
            let place = self.operand_place(Kind::Write)?;
            self.store(place, self.converted(value));
        } else {
            let place = self.operand_place(Kind::Read)?;
            let value = self.load(place);
            self.set(instruction.destination, self.converted(value));
        }
        Ok(())
    }

    /// XLAT: AL is part of the address.
    pub(super) fn xlat(&mut self) -> Result<()> {
        let index = self.value(Operand::Gpr(0)) & 0xff;
        let offset = self.effective_address().wrapping_add(index) & self.instruction.address_size.mask();
        let place = self.place(self.instruction.segment, offset, Size::B1, Kind::Read)?;
        let value = self.load(place);
        self.set_register(0, Size::B1, value);
        Ok(())
    }

    /// What the instruction makes of the value on its way.
    #[inline]
    fn converted(&self, value: u64) -> u64 {
        match self.instruction.operation {
            Operation::Movsx => self.instruction.memory_size.sign_extend(value),
            Operation::Movbe => swap_bytes(value, self.instruction.size),
            _ => value,
        }
    }
}

fn swap_bytes(value: u64, size: Size) -> u64 {
    // All eight are swapped: a shorter operand's bytes come out at the upper end.
    value.swap_bytes() >> (64 - size.bits().min(64))
}
