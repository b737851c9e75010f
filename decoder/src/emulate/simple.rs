//! A short cut for what nearly every access to a device is: MOV or MOVZX in 64-bit code, its operand aligned,
//! at a base register and a displacement.
//!
//! An aligned operand neither crosses a page nor is checked for alignment, and in 64-bit code most segments
//! have neither base nor limit: what is left of the general way is little. Whatever needs more is left to it,
//! and tests compare both.

use super::Emulation;
use crate::bits::{FLAG_RF, FLAG_TF};
use crate::walk::{Access, Kind};
use crate::{Attributes, Instruction, Machine, Mode, Operand, Operation, Register, Segment, Size};

impl Instruction {
    /// Whether the short cut may be taken; [`Attributes::SIMPLE`] says so later.
    pub(crate) fn is_simple(&self) -> bool {
        let is_memory = |operand| operand == Operand::Memory;
        let is_plain = |operand| matches!(operand, Operand::Gpr(_) | Operand::Immediate);
        matches!(self.operation, Operation::Mov | Operation::Movzx)
            && (self.mode, self.address_size) == (Mode::Bits64, Size::B8)
            && !matches!(self.segment, Segment::Fs | Segment::Gs)
            && matches!((self.base, self.index), (Register::Gpr(_), Register::None))
            && (is_memory(self.destination) && is_plain(self.source)
                || is_plain(self.destination) && is_memory(self.source))
    }
}

impl<M: Machine> Emulation<'_, M> {
    /// Whether the guest is single-stepping, if the short cut could be taken. Nothing has changed if not.
    #[inline(always)]
    pub(super) fn simple(&mut self) -> Option<bool> {
        let instruction = self.instruction;
        let Register::Gpr(base) = instruction.base else { return None };
        if !instruction.attributes.contains(Attributes::SIMPLE) {
            return None;
        }
        let linear = self.machine.gpr(base).wrapping_add(instruction.displacement);
        let size = instruction.memory_size;
        if linear & (size.bytes() - 1) != 0 || !self.machine.paging().is_canonical(linear) {
            return None;
        }
        let is_store = instruction.destination == Operand::Memory;
        let kind = if is_store { Kind::Write } else { Kind::Read };
        let rflags = self.machine.rflags();
        let access = Access::explicit(kind, self.machine.cpl(), rflags);
        // The general way finds the same error again, and says what it means.
        let gpa = self.machine.translate(linear, access).ok()?;
        if is_store {
            let value = match instruction.source {
                Operand::Gpr(number) => self.machine.gpr(number),
                _ => instruction.immediate,
            };
            self.store_piece(gpa, size, value);
        } else {
            let value = self.load_piece(gpa, size);
            self.set(instruction.destination, value);
        }
        // What `Instruction::advance` does, without its case of 16- and 32-bit code.
        self.machine.set_rip(self.machine.rip().wrapping_add(instruction.length.into()));
        if rflags & FLAG_RF != 0 {
            self.machine.set_rflags(rflags & !FLAG_RF);
        }
        Some(rflags & FLAG_TF != 0)
    }
}
