//! ANDN, BEXTR, BLSI, BLSMSK, BLSR, BZHI, PDEP, PEXT, RORX, SHLX, SHRX, SARX and MULX.

use super::alu::{self, STATUS};
use super::{Emulation, Result};
use crate::bits::{CR0_PE, FLAG_CF, FLAG_OF, FLAG_SF, FLAG_VM, FLAG_ZF};
use crate::{Exception, Machine, Operand, Operation, Size};

const DX: Operand = Operand::Gpr(2);

impl<M: Machine> Emulation<'_, M> {
    /// Those that leave the flags alone.
    pub(super) fn bmi_plain(&mut self) -> Result<()> {
        self.check_vex()?;
        let size = self.instruction.size;
        let value = self.memory_value()?;
        let other = self.other();
        let count = (other & u64::from(size.bits() - 1)) as u32;
        let result = match self.instruction.operation {
            Operation::Pdep => deposit(other, value),
            Operation::Pext => extract(other, value),
            Operation::Shlx => value << count,
            Operation::Shrx => value >> count,
            Operation::Sarx => (size.sign_extend(value) as i64 >> count) as u64,
            // RORX; no other operation comes here.
            _ => {
                let count = self.instruction.immediate as u32 & (size.bits() - 1);
                // Twice behind each other: what leaves below comes in above.
                let whole = u128::from(value) << size.bits() | u128::from(value);
                (whole >> count) as u64
            }
        };
        self.set(self.instruction.destination, result);
        Ok(())
    }

    pub(super) fn mulx(&mut self) -> Result<()> {
        self.check_vex()?;
        let product = u128::from(self.memory_value()?) * u128::from(self.value(DX));
        // The upper half goes last, so that it wins where both go to one register.
        self.set(self.other_register(), product as u64);
        self.set(self.instruction.destination, (product >> self.instruction.size.bits()) as u64);
        Ok(())
    }

    /// Those that set flags: ZF and SF by the result, OF is cleared; AF and PF are undefined, and stay.
    pub(super) fn bmi(&mut self) -> Result<()> {
        self.check_vex()?;
        let size = self.instruction.size;
        let value = self.memory_value()?;
        let (result, carry) = self.bmi_result(value);
        let result = result & size.mask();
        self.set(self.instruction.destination, result);
        let mut flags = alu::of_result(size, result) & (FLAG_ZF | FLAG_SF);
        if self.instruction.operation == Operation::Bextr {
            // SF is undefined, and cleared.
            flags &= FLAG_ZF;
        }
        if carry {
            flags |= FLAG_CF;
        }
        self.set_status(FLAG_CF | FLAG_OF | FLAG_SF | FLAG_ZF, flags & STATUS);
        Ok(())
    }

    /// The result and CF.
    fn bmi_result(&self, value: u64) -> (u64, bool) {
        let bits = self.instruction.size.bits();
        let other = self.other();
        match self.instruction.operation {
            Operation::Andn => (!other & value, false),
            Operation::Blsi => (value & value.wrapping_neg(), value != 0),
            Operation::Blsmsk => (value ^ value.wrapping_sub(1), value == 0),
            Operation::Blsr => (value & value.wrapping_sub(1), value == 0),
            Operation::Bextr => {
                let (start, length) = (other as u32 & 0xff, other as u32 >> 8 & 0xff);
                // The start may be beyond the register, where there are zeros.
                let shifted = value.checked_shr(start).unwrap_or(0);
                (shifted & low_bits(length), false)
            }
            // BZHI; no other operation comes here.
            _ => {
                let index = other as u32 & 0xff;
                (value & low_bits(index), index >= bits)
            }
        }
    }

    /// VEX-encoded instructions are undefined in real and virtual-8086 mode (SDM 2, 2.3).
    fn check_vex(&mut self) -> Result<()> {
        let is_protected = self.machine.paging().cr0 & CR0_PE != 0 && self.machine.rflags() & FLAG_VM == 0;
        if is_protected { Ok(()) } else { Err(Exception::UNDEFINED_OPCODE.into()) }
    }

    /// The register beside destination and memory operand.
    fn other_register(&self) -> Operand {
        Operand::Gpr(self.instruction.immediate as u8 & 15)
    }

    fn other(&self) -> u64 {
        self.value(self.other_register())
    }
}

fn low_bits(count: u32) -> u64 {
    if count >= u64::BITS { u64::MAX } else { (1 << count) - 1 }
}

/// PDEP: the low bits of `value` go where `mask` has ones.
fn deposit(value: u64, mask: u64) -> u64 {
    scan(mask).zip(0..).map(|(bit, index)| (value >> index & 1) << bit).sum()
}

/// PEXT: the bits of `value` where `mask` has ones become the low ones.
fn extract(value: u64, mask: u64) -> u64 {
    scan(mask).zip(0..).map(|(bit, index)| (value >> bit & 1) << index).sum()
}

/// The numbers of the bits that are set, from below.
fn scan(mask: u64) -> impl Iterator<Item = u32> {
    (0..Size::B8.bits()).filter(move |bit| mask >> bit & 1 != 0)
}
