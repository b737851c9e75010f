//! Shifts and rotates (APM 3): SHL, SHR, SAR, ROL, ROR, RCL, RCR, SHLD and SHRD.
//!
//! OF is defined for a count of one alone; what is set for others is what Intel's processors set.

use super::alu::{self, STATUS};
use super::{Emulation, Result};
use crate::bits::{FLAG_AF, FLAG_CF, FLAG_OF};
use crate::walk::Kind;
use crate::{Machine, Operand, Operation, Size};

/// CL.
const COUNT: Operand = Operand::Gpr(1);

/// What a shift makes of its operand: the value, the flags that change, and their state.
#[derive(Clone, Copy)]
struct Shifted {
    value: u64,
    mask: u64,
    flags: u64,
}

impl<M: Machine> Emulation<'_, M> {
    /// With a count of zero memory is still written, and no flag changes.
    pub(super) fn shift(&mut self) -> Result<()> {
        let instruction = self.instruction;
        let (operation, size) = (instruction.operation, instruction.size);
        let count = match instruction.source {
            Operand::Immediate => instruction.immediate,
            _ => self.machine.gpr(1),
        };
        let count = masked(count, size);
        let carry = self.machine.rflags() & FLAG_CF != 0;
        self.change(|old| shifted(operation, size, old, count, carry))
    }

    pub(super) fn shift_double(&mut self) -> Result<()> {
        let instruction = self.instruction;
        let (operation, size) = (instruction.operation, instruction.size);
        let (is_left, count) = match operation {
            Operation::Shld => (true, instruction.immediate),
            Operation::ShldCl => (true, self.value_of(COUNT)),
            Operation::Shrd => (false, instruction.immediate),
            _ => (false, self.value_of(COUNT)),
        };
        let count = masked(count, size);
        // Before the change of memory, which may be tried more than once.
        let filler = self.value(instruction.source);
        self.change(|old| shifted_double(is_left, size, old, filler, count))
    }

    /// A register's low byte.
    fn value_of(&self, operand: Operand) -> u64 {
        self.value(operand) & 0xff
    }

    fn change(&mut self, operation: impl Fn(u64) -> Shifted) -> Result<()> {
        let place = self.operand_place(Kind::Write)?;
        // Replaced before it counts: `modify` calls at least once.
        let mut last = operation(0);
        self.modify(place, |old| {
            last = operation(old);
            last.value
        })?;
        self.set_status(last.mask, last.flags);
        Ok(())
    }
}

fn masked(count: u64, size: Size) -> u32 {
    // Of the count five bits are taken, or six for eight bytes (APM 3, SHL).
    count as u32 & if size == Size::B8 { 63 } else { 31 }
}

fn flag(is_set: bool, flag: u64) -> u64 {
    if is_set { flag } else { 0 }
}

fn shifted(operation: Operation, size: Size, old: u64, count: u32, carry: bool) -> Shifted {
    if count == 0 {
        return Shifted { value: old, mask: 0, flags: 0 };
    }
    match operation {
        Operation::Rol | Operation::Ror => rotated(operation, size, old, count),
        Operation::Rcl | Operation::Rcr => rotated_through_carry(operation, size, old, count, carry),
        _ => arithmetic(operation, size, old, count),
    }
}

/// SHL, SHR, SAR; the count is not zero, and may be more than the operand has bits.
fn arithmetic(operation: Operation, size: Size, old: u64, count: u32) -> Shifted {
    let bits = size.bits();
    let (value, carry, overflow) = match operation {
        Operation::Shl => {
            // In 128 bits, since the last bit that leaves is CF, and a count may be more than the operand's
            // bits.
            let wide = u128::from(old) << count;
            let carry = wide >> bits & 1 != 0;
            let value = wide as u64 & size.mask();
            (value, carry, carry != (value & size.sign_bit() != 0))
        }
        Operation::Shr => {
            let value = old.checked_shr(count).unwrap_or(0);
            let carry = old.checked_shr(count - 1).unwrap_or(0) & 1 != 0;
            // The sign that was lost, or for more than one bit the one before the last, of which there is
            // none.
            (value, carry, count == 1 && old & size.sign_bit() != 0)
        }
        _ => {
            // Behind the operand's bits only its sign comes in, so that a count of 63 is as good as any
            // larger one.
            let signed = size.sign_extend(old) as i64;
            let value = (signed >> count.min(63)) as u64 & size.mask();
            (value, signed >> (count - 1).min(63) & 1 != 0, false)
        }
    };
    let flags = alu::of_result(size, value) | flag(carry, FLAG_CF) | flag(overflow, FLAG_OF);
    Shifted { value, mask: STATUS & !FLAG_AF, flags }
}

/// ROL and ROR: the count counts modulo the operand's bits, and the flags change even if that is zero.
fn rotated(operation: Operation, size: Size, old: u64, count: u32) -> Shifted {
    let bits = size.bits();
    let by = count % bits;
    // To the right is to the left by what is missing.
    let by = if operation == Operation::Rol { by } else { (bits - by) % bits };
    let wide = u128::from(old) << by;
    let value = (wide | wide >> bits) as u64 & size.mask();
    let top = value & size.sign_bit() != 0;
    let (carry, overflow) = if operation == Operation::Rol {
        (value & 1 != 0, top != (value & 1 != 0))
    } else {
        (top, top != (value & size.sign_bit() >> 1 != 0))
    };
    Shifted { value, mask: FLAG_CF | FLAG_OF, flags: flag(carry, FLAG_CF) | flag(overflow, FLAG_OF) }
}

/// RCL and RCR: CF is one more bit of the operand.
fn rotated_through_carry(operation: Operation, size: Size, old: u64, count: u32, carry: bool) -> Shifted {
    let bits = size.bits();
    let by = count % (bits + 1);
    let by = if operation == Operation::Rcl { by } else { (bits + 1 - by) % (bits + 1) };
    let whole = u128::from(old) | u128::from(carry) << bits;
    // At most 65 bits, rotated by less than that: 128 bits don't hold the whole shift.
    let value = (whole << by | whole >> (bits + 1 - by)) & (u128::MAX >> (127 - bits));
    let carry = value >> bits & 1 != 0;
    let value = value as u64 & size.mask();
    let top = value & size.sign_bit() != 0;
    let overflow =
        if operation == Operation::Rcl { top != carry } else { top != (value & size.sign_bit() >> 1 != 0) };
    Shifted { value, mask: FLAG_CF | FLAG_OF, flags: flag(carry, FLAG_CF) | flag(overflow, FLAG_OF) }
}

/// SHLD and SHRD. Of an operand of two bytes, counts above 16 have no defined result: the filler is followed
/// by the operand again.
fn shifted_double(is_left: bool, size: Size, old: u64, filler: u64, count: u32) -> Shifted {
    if count == 0 {
        return Shifted { value: old, mask: 0, flags: 0 };
    }
    let bits = size.bits();
    // Side by side they have twice the operand's bits.
    let (old_wide, filler_wide) = (u128::from(old), u128::from(filler));
    let (value, carry) = if bits == 16 && count > 16 {
        let over = count - 16;
        let whole = if is_left { filler << 16 | old } else { old << 16 | filler };
        if is_left {
            (whole << over >> 16 & 0xffff, whole << (over - 1) >> 31 & 1)
        } else {
            (whole >> over & 0xffff, whole >> (over - 1) & 1)
        }
    } else if is_left {
        let whole = old_wide << bits | filler_wide;
        let value = (whole << count >> bits) as u64 & size.mask();
        (value, (old >> (bits - count) & 1))
    } else {
        let whole = filler_wide << bits | old_wide;
        ((whole >> count) as u64 & size.mask(), old >> (count - 1) & 1)
    };
    let overflow = (value ^ old) & size.sign_bit() != 0;
    let flags = alu::of_result(size, value) | flag(carry != 0, FLAG_CF) | flag(overflow, FLAG_OF);
    Shifted { value, mask: STATUS & !FLAG_AF, flags }
}
