//! ADD, ADC, SUB, SBB, AND, OR, XOR, CMP, TEST, NOT, NEG, INC and DEC.

use super::alu::{self, Computed, STATUS};
use super::{Emulation, Result};
use crate::bits::FLAG_CF;
use crate::walk::Kind;
use crate::{Machine, Operand, Operation};

impl<M: Machine> Emulation<'_, M> {
    pub(super) fn binary(&mut self) -> Result<()> {
        let instruction = self.instruction;
        let (operation, size) = (instruction.operation, instruction.size);
        let carry = self.machine.rflags() & FLAG_CF != 0;
        let compares = matches!(operation, Operation::Cmp | Operation::Test);
        // CMP and TEST read only: they need no right to write, and a device must not see a store.
        if instruction.destination != Operand::Memory || compares {
            let place = self.operand_place(Kind::Read)?;
            let memory = self.load(place);
            let (left, right) = match instruction.destination {
                Operand::Memory => (memory, self.value(instruction.source)),
                register => (self.value(register), memory),
            };
            let computed = alu::binary(operation, size, left, right, carry);
            self.set_status(STATUS, computed.flags);
            if !compares {
                self.set(instruction.destination, computed.value);
            }
            return Ok(());
        }
        // Read, changed and written in one, so that LOCK can hold over all of it.
        let right = self.value(instruction.source);
        self.compute(STATUS, |left| alu::binary(operation, size, left, right, carry))
    }

    pub(super) fn unary(&mut self) -> Result<()> {
        let size = self.instruction.size;
        match self.instruction.operation {
            Operation::Neg => self.compute(STATUS, |value| alu::subtract(size, 0, value, false)),
            // INC and DEC leave CF alone, for the sake of loops over long numbers.
            Operation::Inc => self.compute(STATUS & !FLAG_CF, |value| alu::add(size, value, 1, false)),
            Operation::Dec => self.compute(STATUS & !FLAG_CF, |value| alu::subtract(size, value, 1, false)),
            // NOT; no other operation comes here.
            _ => self.compute(0, |value| Computed { value: !value, flags: 0 }),
        }
    }

    /// Changes the memory operand and then the status flags in `mask`.
    fn compute(&mut self, mask: u64, operation: impl Fn(u64) -> Computed) -> Result<()> {
        let place = self.operand_place(Kind::Write)?;
        let mut flags = 0;
        self.modify(place, |old| {
            let computed = operation(old);
            flags = computed.flags;
            computed.value
        })?;
        self.set_status(mask, flags);
        Ok(())
    }

    /// Sets the flags in `mask` to those in `flags`.
    pub(super) fn set_status(&mut self, mask: u64, flags: u64) {
        let old = self.machine.rflags();
        self.machine.set_rflags((old & !mask) | (flags & mask));
    }
}
