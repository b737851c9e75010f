//! MUL, IMUL, DIV, IDIV, ADCX and ADOX.

use super::{Emulation, Result};
use crate::bits::{FLAG_CF, FLAG_OF};
use crate::walk::Kind;
use crate::{Exception, Machine, Operand, Operation, Size};

const AX: u8 = 0;
const DX: u8 = 2;

impl<M: Machine> Emulation<'_, M> {
    /// The operand in memory, read.
    pub(super) fn memory_value(&mut self) -> Result<u64> {
        let place = self.operand_place(Kind::Read)?;
        Ok(self.load(place))
    }

    /// MUL and IMUL with one operand: the product is twice as long.
    pub(super) fn multiply_wide(&mut self) -> Result<()> {
        let size = self.instruction.size;
        let right = self.memory_value()?;
        let left = self.value(Operand::Gpr(AX));
        let is_signed = self.instruction.operation == Operation::ImulWide;
        let product = if is_signed {
            // Never wraps: 127 bits are enough for two factors of 64.
            (signed(size, left).wrapping_mul(signed(size, right))) as u128
        } else {
            u128::from(left) * u128::from(right)
        };
        self.set_pair(product);
        // Whether the upper half says nothing that the lower one does not.
        let is_short = if is_signed {
            signed(size, product as u64) as u128 & wide_mask(size) == product & wide_mask(size)
        } else {
            product >> size.bits() == 0
        };
        self.set_overflow(!is_short);
        Ok(())
    }

    /// IMUL with two and with three operands.
    pub(super) fn multiply(&mut self) -> Result<()> {
        let size = self.instruction.size;
        let right = self.memory_value()?;
        let left = match self.instruction.operation {
            Operation::ImulImmediate => self.instruction.immediate,
            _ => self.value(self.instruction.destination),
        };
        let product = signed(size, left).wrapping_mul(signed(size, right));
        self.set(self.instruction.destination, product as u64);
        self.set_overflow(signed(size, product as u64) != product);
        Ok(())
    }

    /// Only CF and OF are defined; the others stay.
    fn set_overflow(&mut self, overflows: bool) {
        self.set_status(FLAG_CF | FLAG_OF, if overflows { FLAG_CF | FLAG_OF } else { 0 });
    }

    pub(super) fn divide(&mut self) -> Result<()> {
        let size = self.instruction.size;
        let divisor = self.memory_value()?;
        let dividend = self.get_pair();
        let (quotient, remainder) = if self.instruction.operation == Operation::Div {
            let divisor = u128::from(divisor);
            let quotient = dividend.checked_div(divisor).ok_or(Exception::DIVIDE_ERROR)?;
            // The quotient has to have room (APM 3, DIV).
            if quotient > u128::from(size.mask()) {
                return Err(Exception::DIVIDE_ERROR.into());
            }
            (quotient as u64, (dividend % divisor) as u64)
        } else {
            // The sign of the dividend is that of the pair, not of a number of 128 bits.
            let unused = 128 - 2 * size.bits();
            let dividend = (dividend << unused) as i128 >> unused;
            let divisor = signed(size, divisor);
            // Nothing at all also for the most negative dividend by -1, whose quotient has no room.
            let quotient = dividend.checked_div(divisor).ok_or(Exception::DIVIDE_ERROR)?;
            if quotient != signed(size, quotient as u64) {
                return Err(Exception::DIVIDE_ERROR.into());
            }
            (quotient as u64, (dividend.wrapping_rem(divisor)) as u64)
        };
        // Bytes have no pair of registers: quotient and remainder share AX.
        if size == Size::B1 {
            self.set_register(AX, Size::B2, quotient & 0xff | (remainder & 0xff) << 8);
        } else {
            self.set_register(AX, size, quotient);
            self.set_register(DX, size, remainder);
        }
        Ok(())
    }

    /// rDX:rAX, or AX for bytes.
    fn get_pair(&self) -> u128 {
        let size = self.instruction.size;
        if size == Size::B1 {
            return (self.machine.gpr(AX) & 0xffff).into();
        }
        u128::from(self.value(Operand::Gpr(DX))) << size.bits() | u128::from(self.value(Operand::Gpr(AX)))
    }

    fn set_pair(&mut self, value: u128) {
        let size = self.instruction.size;
        if size == Size::B1 {
            return self.set_register(AX, Size::B2, value as u64);
        }
        self.set_register(AX, size, value as u64);
        self.set_register(DX, size, (value >> size.bits()) as u64);
    }

    /// ADCX and ADOX: an addition with a carry of its own, and no other flag.
    pub(super) fn add_with_flag(&mut self) -> Result<()> {
        let flag = if self.instruction.operation == Operation::Adcx { FLAG_CF } else { FLAG_OF };
        let right = u128::from(self.memory_value()?);
        let left = u128::from(self.value(self.instruction.destination));
        let sum = left + right + u128::from(self.machine.rflags() & flag != 0);
        self.set(self.instruction.destination, sum as u64);
        // The other carry stays: two chains of additions may run through each other.
        self.set_status(flag, if sum >> self.instruction.size.bits() != 0 { flag } else { 0 });
        Ok(())
    }
}

fn signed(size: Size, value: u64) -> i128 {
    (size.sign_extend(value) as i64).into()
}

/// The bits of a value of twice this size.
fn wide_mask(size: Size) -> u128 {
    u128::MAX >> (128 - 2 * size.bits())
}
