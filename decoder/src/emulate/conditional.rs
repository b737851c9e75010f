//! CMOVcc and SETcc.

use super::{Emulation, Result};
use crate::Machine;
use crate::bits::{FLAG_CF, FLAG_OF, FLAG_PF, FLAG_SF, FLAG_ZF};
use crate::walk::Kind;

impl<M: Machine> Emulation<'_, M> {
    /// The operand is read, and a register of four bytes has its upper half cleared, even if the condition
    /// does not hold (APM 3, CMOVcc).
    pub(super) fn cmov(&mut self) -> Result<()> {
        let place = self.operand_place(Kind::Read)?;
        let value = self.load(place);
        let destination = self.instruction.destination;
        let value = if self.condition() { value } else { self.value(destination) };
        self.set(destination, value);
        Ok(())
    }

    pub(super) fn set_by_condition(&mut self) -> Result<()> {
        let place = self.operand_place(Kind::Write)?;
        let value = self.condition().into();
        self.store(place, value);
        Ok(())
    }

    /// Whether the condition that the instruction names holds (APM 3, appendix A).
    fn condition(&self) -> bool {
        let flags = self.machine.rflags();
        let has = |flag| flags & flag != 0;
        let is_less = has(FLAG_SF) != has(FLAG_OF);
        let number = self.instruction.immediate;
        let holds = match number >> 1 & 7 {
            0 => has(FLAG_OF),
            1 => has(FLAG_CF),
            2 => has(FLAG_ZF),
            3 => has(FLAG_CF) || has(FLAG_ZF),
            4 => has(FLAG_SF),
            5 => has(FLAG_PF),
            6 => is_less,
            _ => is_less || has(FLAG_ZF),
        };
        // Odd ones are the even ones' opposites.
        holds != (number & 1 != 0)
    }
}
