//! Results and flags of arithmetic (APM 1, 3.1.4), on plain values.

use crate::bits::{FLAG_AF, FLAG_CF, FLAG_OF, FLAG_PF, FLAG_SF, FLAG_ZF};
use crate::{Operation, Size};

/// The six flags that arithmetic sets.
pub(super) const STATUS: u64 = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF;

/// A result, of which the operand's size counts, and the status flags it leaves.
#[derive(Clone, Copy)]
pub(super) struct Computed {
    pub(super) value: u64,
    pub(super) flags: u64,
}

/// `left op right`; operands are cut to `size`, and `carry` is CF before.
#[inline]
pub(super) fn binary(operation: Operation, size: Size, left: u64, right: u64, carry: bool) -> Computed {
    match operation {
        Operation::Add => add(size, left, right, false),
        Operation::Adc => add(size, left, right, carry),
        Operation::Sub | Operation::Cmp => subtract(size, left, right, false),
        Operation::Sbb => subtract(size, left, right, carry),
        Operation::Or => logic(size, left | right),
        Operation::Xor => logic(size, left ^ right),
        // AND and TEST; no other operation comes here.
        _ => logic(size, left & right),
    }
}

pub(super) fn add(size: Size, left: u64, right: u64, carry: bool) -> Computed {
    let value = left.wrapping_add(right).wrapping_add(carry.into()) & size.mask();
    // A bit carries out if both operands have it, or one has it and the sum has not: then a carry came in.
    // Overflow: both operands' signs differ from the sum's.
    let carries = (left & right) | ((left | right) & !value);
    let overflow = (left ^ value) & (right ^ value);
    Computed { value, flags: of_result(size, value) | of_carries(size, carries, overflow) }
}

pub(super) fn subtract(size: Size, left: u64, right: u64, borrow: bool) -> Computed {
    let value = left.wrapping_sub(right).wrapping_sub(borrow.into()) & size.mask();
    // A bit borrows if only the subtrahend has it, or if they are alike and the difference has it.
    // Overflow: the operands' signs differ, and the difference's is not the minuend's.
    let borrows = (!left & right) | ((!left | right) & value);
    let overflow = (left ^ right) & (left ^ value);
    Computed { value, flags: of_result(size, value) | of_carries(size, borrows, overflow) }
}

/// CF and OF are cleared; AF is undefined, and cleared by the processors tried.
fn logic(size: Size, value: u64) -> Computed {
    let value = value & size.mask();
    Computed { value, flags: of_result(size, value) }
}

/// ZF, SF and PF.
pub(super) fn of_result(size: Size, value: u64) -> u64 {
    let mut flags = 0;
    if value == 0 {
        flags |= FLAG_ZF;
    }
    if value & size.sign_bit() != 0 {
        flags |= FLAG_SF;
    }
    // Parity is of the lowest byte alone, whatever the operand's size.
    if (value as u8).count_ones().is_multiple_of(2) {
        flags |= FLAG_PF;
    }
    flags
}

/// CF, AF and OF, from the carries out of each bit and the bits whose sign overflowed.
fn of_carries(size: Size, carries: u64, overflow: u64) -> u64 {
    let mut flags = 0;
    if carries & size.sign_bit() != 0 {
        flags |= FLAG_CF;
    }
    // Out of bit 3, for decimal digits.
    if carries & 8 != 0 {
        flags |= FLAG_AF;
    }
    if overflow & size.sign_bit() != 0 {
        flags |= FLAG_OF;
    }
    flags
}
