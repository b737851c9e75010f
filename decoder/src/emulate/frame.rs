//! PUSH and POP of registers and immediates, PUSHA, POPA, PUSHF, POPF, ENTER and LEAVE.

use super::memory::Place;
use super::{Emulation, Outcome, Result};
use crate::bits::{
    CR4_VME, FLAG_AC, FLAG_CF, FLAG_DF, FLAG_ID, FLAG_IF, FLAG_IOPL, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VIF,
    FLAG_VIP, FLAG_VM,
};
use crate::walk::Kind;
use crate::{Exception, Instruction, Machine, Operand, Segment, Size, Vendor};

const SP: u8 = 4;
const BP: u8 = 5;

impl<M: Machine> Emulation<'_, M> {
    /// The operand of `size` that is `offset` bytes above the stack's top.
    pub(super) fn stack_place(&mut self, offset: u64, size: Size, kind: Kind) -> Result<Place> {
        let pointer = self.machine.gpr(SP).wrapping_add(offset) & self.stack_width().mask();
        self.place(Segment::Ss, pointer, size, kind)
    }

    /// Before AMD's processors look at the offset that a CALL goes to, they look at the places of so many
    /// values that it pushes. Intel's look at the target first.
    pub(super) fn check_push_first(&mut self, values: u64) -> Result<()> {
        let Instruction { vendor, size, .. } = *self.instruction;
        if vendor == Vendor::Amd {
            for index in 1..=values {
                self.stack_place(size.bytes().wrapping_mul(index).wrapping_neg(), size, Kind::Write)?;
            }
        }
        Ok(())
    }

    /// Pushes values, the first one first. The stack is checked for all of them before one is stored.
    pub(super) fn push_all(&mut self, values: &[u64], size: Size) -> Result<()> {
        let below = |index: u64| size.bytes().wrapping_mul(index).wrapping_neg();
        // All are checked first: a fault in the middle would leave a part on the stack.
        for (index, _) in (1..).zip(values) {
            self.stack_place(below(index), size, Kind::Write)?;
        }
        for (index, value) in (1..).zip(values) {
            let place = self.stack_place(below(index), size, Kind::Write)?;
            self.store(place, *value);
        }
        self.drop_stack(below(values.len() as u64));
        Ok(())
    }

    /// Moves the stack pointer up.
    pub(super) fn drop_stack(&mut self, bytes: u64) {
        let width = self.stack_width();
        let pointer = self.machine.gpr(SP).wrapping_add(bytes);
        self.set_register(SP, width, pointer);
    }

    pub(super) fn push_register(&mut self) -> Result<()> {
        let size = self.instruction.size;
        match self.instruction.source {
            Operand::Segment(number) => self.push_segment(number),
            source => {
                let value = self.value(source);
                self.push_all(&[value], size)
            }
        }
    }

    /// How much of a stack's element a segment register is: of four bytes Intel's processors access two, and
    /// leave the others (SDM 2, PUSH and POP).
    fn selector_size(&self) -> Size {
        let size = self.instruction.size;
        if self.instruction.vendor == Vendor::Intel && size == Size::B4 { Size::B2 } else { size }
    }

    fn push_segment(&mut self, number: u8) -> Result<()> {
        let below = self.instruction.size.bytes().wrapping_neg();
        let selector = self.machine.selector(Segment::of(number)).into();
        let size = self.selector_size();
        let place = self.stack_place(below, size, Kind::Write)?;
        self.store(place, selector);
        self.drop_stack(below);
        Ok(())
    }

    pub(super) fn pop_register(&mut self) -> Result<()> {
        let size = self.instruction.size;
        if let Operand::Segment(number) = self.instruction.destination {
            let [selector] = self.peek_stack(self.selector_size())?;
            let width = self.stack_width();
            // Before rSP moves: a fault leaves it as it was.
            self.load_segment(Segment::of(number), selector as u16)?;
            // POP SS moves the old stack's pointer.
            let pointer = self.machine.gpr(SP).wrapping_add(size.bytes());
            self.set_register(SP, width, pointer);
            return Ok(());
        }
        let [value] = self.peek_stack(size)?;
        // First, so that POP rSP leaves what was popped.
        self.drop_stack(size.bytes());
        self.set(self.instruction.destination, value);
        Ok(())
    }

    /// rSP as it was before goes in its place.
    pub(super) fn push_all_registers(&mut self) -> Result<()> {
        let values: [u64; 8] = core::array::from_fn(|number| self.value(Operand::Gpr(number as u8)));
        self.push_all(&values, self.instruction.size)
    }

    /// rSP is not loaded.
    pub(super) fn pop_all_registers(&mut self) -> Result<()> {
        let size = self.instruction.size;
        let values: [u64; 8] = self.peek_stack(size)?;
        for (number, value) in (0..8).rev().zip(values) {
            // What PUSHA stored in its place is passed over.
            if number != SP {
                self.set(Operand::Gpr(number), value);
            }
        }
        self.drop_stack(size.bytes() * 8);
        Ok(())
    }

    pub(super) fn push_flags(&mut self) -> Result<()> {
        let size = self.instruction.size;
        let flags = self.machine.rflags();
        // A program is shown neither.
        let mut pushed = flags & !(FLAG_VM | FLAG_RF);
        if flags & FLAG_VM != 0 && flags & FLAG_IOPL != FLAG_IOPL {
            self.check_virtual_flags()?;
            // Virtual-8086 code sees a flag of its own, and an IOPL of 3.
            let interrupts = if flags & FLAG_VIF != 0 { FLAG_IF } else { 0 };
            pushed = pushed & !FLAG_IF | interrupts | FLAG_IOPL;
        }
        self.push_all(&[pushed & size.mask()], size)
    }

    /// PUSHF and POPF below IOPL in virtual-8086 mode: only those of two bytes, and only with CR4.VME.
    fn check_virtual_flags(&self) -> Result<()> {
        let has_own = self.machine.paging().cr4 & CR4_VME != 0 && self.instruction.size == Size::B2;
        if has_own { Ok(()) } else { Err(Exception::GENERAL_PROTECTION.into()) }
    }

    /// What is kept depends on CPL and IOPL (APM 3, POPF).
    pub(super) fn pop_flags(&mut self) -> Result<Outcome> {
        let size = self.instruction.size;
        let flags = self.machine.rflags();
        let iopl = (flags & FLAG_IOPL) >> FLAG_IOPL.trailing_zeros();
        let is_virtual = flags & FLAG_VM != 0;
        if is_virtual && iopl < 3 {
            self.pop_virtual_flags()?;
            return Ok(self.done_with_flags_before(flags));
        }
        // Read before rSP moves: a fault leaves it as it was.
        let [popped] = self.peek_stack(size)?;
        let cpl = u64::from(self.machine.cpl());
        let mut mask = CHANGEABLE & size.mask();
        if cpl == 0 && !is_virtual {
            mask |= FLAG_IOPL;
        }
        // In virtual-8086 mode IOPL is 3 by here.
        if is_virtual || cpl <= iopl {
            mask |= FLAG_IF;
        }
        self.drop_stack(size.bytes());
        self.machine.set_rflags(flags & !(mask | FLAG_RF) | popped & mask);
        Ok(self.done_with_flags_before(flags))
    }

    /// A step is due if TF was set before the instruction, not behind it.
    fn done_with_flags_before(&mut self, flags: u64) -> Outcome {
        let _ = self.done();
        Outcome::Done { single_step: flags & FLAG_TF != 0 }
    }

    fn pop_virtual_flags(&mut self) -> Result<()> {
        self.check_virtual_flags()?;
        let flags = self.machine.rflags();
        let [popped] = self.peek_stack(Size::B2)?;
        let wants_interrupts = popped & FLAG_IF != 0;
        // A single step, or an interrupt that waits, is for the monitor to see (APM 2, 8.8).
        if popped & FLAG_TF != 0 || wants_interrupts && flags & FLAG_VIP != 0 {
            return Err(Exception::GENERAL_PROTECTION.into());
        }
        self.drop_stack(Size::B2.bytes());
        let mask = CHANGEABLE & Size::B2.mask();
        let interrupts = if wants_interrupts { FLAG_VIF } else { 0 };
        self.machine.set_rflags(flags & !(mask | FLAG_RF | FLAG_VIF) | popped & mask | interrupts);
        Ok(())
    }

    /// The frame is checked before it is made, and so is the stack's new top (APM 3, ENTER).
    pub(super) fn enter(&mut self) -> Result<()> {
        let size = self.instruction.size;
        let bytes = self.instruction.immediate & 0xffff;
        // The processor takes five bits of it.
        let level = self.instruction.immediate >> 16 & 31;
        let width = self.stack_width();
        let slot = |index: u64| size.bytes().wrapping_mul(index).wrapping_neg();
        let slots = level + 1;
        // Every place is looked at before the first store: where ENTER faults it has changed nothing
        // (docs/decoder.md).
        self.stack_place(slot(1), size, Kind::Write)?;
        for index in 1..level {
            self.display_place(index, width)?;
            self.stack_place(slot(index + 1), size, Kind::Write)?;
        }
        self.stack_place(slot(slots), size, Kind::Write)?;
        // The new top as well, so that the fault comes here and not at the first push of the function.
        self.stack_place(slot(slots).wrapping_sub(bytes), size, Kind::Write)?;
        // A stack of 16 bits moves SP alone; what is above it is part of the frame's pointer all the same.
        let top = self.machine.gpr(SP);
        let frame = top & !width.mask() | top.wrapping_sub(size.bytes()) & width.mask();
        let base = self.value(Operand::Gpr(BP));
        let place = self.stack_place(slot(1), size, Kind::Write)?;
        self.store(place, base);
        for index in 1..level {
            let place = self.display_place(index, width)?;
            let value = self.load(place);
            let place = self.stack_place(slot(index + 1), size, Kind::Write)?;
            self.store(place, value);
        }
        if level > 0 {
            let place = self.stack_place(slot(slots), size, Kind::Write)?;
            self.store(place, frame & size.mask());
        }
        self.drop_stack(slot(slots).wrapping_sub(bytes));
        self.set_register(BP, size, frame);
        Ok(())
    }

    /// A pointer of the outer frames' display, below rBP.
    fn display_place(&mut self, index: u64, width: Size) -> Result<Place> {
        let size = self.instruction.size;
        let pointer = self.machine.gpr(BP).wrapping_sub(size.bytes().wrapping_mul(index)) & width.mask();
        self.place(Segment::Ss, pointer, size, Kind::Read)
    }

    pub(super) fn leave(&mut self) -> Result<()> {
        let size = self.instruction.size;
        let width = self.stack_width();
        let base = self.machine.gpr(BP);
        // Read first: a fault leaves both registers as they were.
        let place = self.place(Segment::Ss, base & width.mask(), size, Kind::Read)?;
        let value = self.load(place);
        self.set_register(SP, width, base.wrapping_add(size.bytes()));
        self.set_register(BP, size, value);
        Ok(())
    }
}

/// What POPF changes at any privilege level.
pub(super) const CHANGEABLE: u64 =
    super::alu::STATUS | FLAG_CF | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID;
