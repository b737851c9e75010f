//! XCHG, XADD, CMPXCHG, CMPXCHG8B and CMPXCHG16B.

use super::alu::{self, STATUS};
use super::{Emulation, Result};
use crate::bits::FLAG_ZF;
use crate::walk::Kind;
use crate::{Machine, Operand, Size};

const AX: u8 = 0;
const CX: u8 = 1;
const DX: u8 = 2;
const BX: u8 = 3;

impl<M: Machine> Emulation<'_, M> {
    pub(super) fn xchg(&mut self) -> Result<()> {
        let new = self.value(self.instruction.source);
        let place = self.operand_place(Kind::Write)?;
        let old = self.modify(place, |_| new)?;
        self.set(self.instruction.source, old);
        Ok(())
    }

    pub(super) fn xadd(&mut self) -> Result<()> {
        let size = self.instruction.size;
        let addend = self.value(self.instruction.source);
        let place = self.operand_place(Kind::Write)?;
        // The sum is computed again below for its flags, as the exchange may have been tried with several
        // old values.
        let old = self.modify(place, |old| alu::add(size, old, addend, false).value)?;
        self.set(self.instruction.source, old);
        self.set_status(STATUS, alu::add(size, old, addend, false).flags);
        Ok(())
    }

    /// Memory is written whether or not the comparison holds, so a page that can't be written faults in any
    /// case.
    pub(super) fn cmpxchg(&mut self) -> Result<()> {
        let size = self.instruction.size;
        let new = self.value(self.instruction.source);
        let accumulator = self.value(Operand::Gpr(AX));
        let place = self.operand_place(Kind::Write)?;
        // Stored in any case, as a processor does: with its own value where the comparison fails.
        let old = self.modify(place, |old| if old == accumulator { new } else { old })?;
        // Written only then: a move of four bytes to RAX would clear its upper half.
        if old != accumulator {
            self.set(Operand::Gpr(AX), old);
        }
        self.set_status(STATUS, alu::subtract(size, accumulator, old, false).flags);
        Ok(())
    }

    /// CMPXCHG8B and CMPXCHG16B: the operand is twice the size of each register.
    pub(super) fn cmpxchg_pair(&mut self) -> Result<()> {
        let place = self.operand_place(Kind::Write)?;
        let half = self.instruction.size;
        let expected = self.pair(DX, AX);
        let new = self.pair(CX, BX);
        // Sixteen bytes are more than `modify` carries.
        let found = if half == Size::B8 {
            self.compare_exchange_wide(place, expected, new)
        } else {
            let (expected, new) = (expected as u64, new as u64);
            self.modify(place, |old| if old == expected { new } else { old })?.into()
        };
        let is_equal = found == expected;
        // Only then: the registers hold the value already, and writing four bytes would clear upper halves.
        if !is_equal {
            self.set(Operand::Gpr(AX), found as u64);
            self.set(Operand::Gpr(DX), (found >> half.bits()) as u64);
        }
        self.set_status(FLAG_ZF, if is_equal { FLAG_ZF } else { 0 });
        Ok(())
    }

    fn pair(&self, high: u8, low: u8) -> u128 {
        let high = u128::from(self.value(Operand::Gpr(high)));
        high << self.instruction.size.bits() | u128::from(self.value(Operand::Gpr(low)))
    }
}
