//! BT, BTS, BTR and BTC.

use super::{Emulation, Result};
use crate::bits::FLAG_CF;
use crate::walk::Kind;
use crate::{Machine, Operand, Operation};

impl<M: Machine> Emulation<'_, M> {
    pub(super) fn bit(&mut self) -> Result<()> {
        let instruction = self.instruction;
        let size = instruction.size;
        let index = self.value(instruction.source);
        let mut offset = self.effective_address();
        if instruction.source != Operand::Immediate {
            // A register counts bits, signed, from the operand's start: it moves the operand by whole units.
            let unit = (size.sign_extend(index) as i64) >> size.bits().trailing_zeros();
            offset = offset.wrapping_add((unit as u64).wrapping_mul(size.bytes()));
            offset &= instruction.address_size.mask();
        }
        let bit = 1_u64 << (index & u64::from(size.bits() - 1));
        let old = if instruction.operation == Operation::Bt {
            let place = self.place(instruction.segment, offset, size, Kind::Read)?;
            self.load(place)
        } else {
            let place = self.place(instruction.segment, offset, size, Kind::Write)?;
            self.modify(place, |old| match instruction.operation {
                Operation::Bts => old | bit,
                Operation::Btr => old & !bit,
                _ => old ^ bit,
            })?
        };
        self.set_status(FLAG_CF, if old & bit != 0 { FLAG_CF } else { 0 });
        Ok(())
    }
}
