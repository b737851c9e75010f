//! BSF, BSR, TZCNT, LZCNT, POPCNT and CRC32.

use super::alu::{self, STATUS};
use super::{Emulation, Result};
use crate::bits::{FLAG_CF, FLAG_ZF};
use crate::walk::Kind;
use crate::{Machine, Operation};

impl<M: Machine> Emulation<'_, M> {
    pub(super) fn count(&mut self) -> Result<()> {
        let instruction = self.instruction;
        let place = self.operand_place(Kind::Read)?;
        let value = self.load(place);
        let bits = instruction.size.bits();
        let trailing = value.trailing_zeros().min(bits);
        // The value is in a number of 64 bits, whose upper zeros are not the operand's.
        let leading = value.leading_zeros() - (64 - bits.min(64));
        let found = match instruction.operation {
            // Of zero, they leave the destination as it is (APM 3, BSF), which Intel's processors do too: the
            // upper half of a register of four bytes as well.
            Operation::Bsf | Operation::Bsr if value == 0 => {
                self.set_status(STATUS, alu::of_result(instruction.size, 0));
                return Ok(());
            }
            Operation::Bsf | Operation::Tzcnt => trailing,
            Operation::Bsr => bits - 1 - leading,
            Operation::Lzcnt => leading,
            // POPCNT; no other operation comes here.
            _ => value.count_ones(),
        };
        self.set(instruction.destination, found.into());
        let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
        let flags = match instruction.operation {
            Operation::Tzcnt | Operation::Lzcnt => flag(value == 0, FLAG_CF) | flag(found == 0, FLAG_ZF),
            _ => flag(value == 0, FLAG_ZF),
        };
        self.set_status(STATUS, flags);
        Ok(())
    }

    /// The polynomial is 11EDC6F41h, its bits in reverse (SDM 2, CRC32).
    pub(super) fn crc32(&mut self) -> Result<()> {
        const POLYNOMIAL: u32 = 0x82f6_3b78;
        let instruction = self.instruction;
        let place = self.operand_place(Kind::Read)?;
        let value = self.load(place);
        let mut sum = self.value(instruction.destination) as u32;
        for bit in 0..instruction.memory_size.bits() {
            let carry = (sum ^ (value >> bit) as u32) & 1;
            sum = (sum >> 1) ^ (POLYNOMIAL * carry);
        }
        self.set(instruction.destination, sum.into());
        Ok(())
    }
}
