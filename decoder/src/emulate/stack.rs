//! PUSH and POP of memory.

use super::{Emulation, Result};
use crate::walk::Kind;
use crate::{Machine, Mode, Segment, SegmentState, Size};

const SP: u8 = 4;

impl<M: Machine> Emulation<'_, M> {
    pub(super) fn push(&mut self) -> Result<()> {
        let size = self.instruction.size;
        // Before the stack is looked at: an operand that faults shows first.
        let value = self.source()?;
        let width = self.stack_width();
        // Only the bits of the stack's width count and change: with a 16-bit stack segment the upper half
        // of ESP stays.
        let pointer = self.machine.gpr(SP).wrapping_sub(size.bytes());
        let place = self.place(Segment::Ss, pointer & width.mask(), size, Kind::Write)?;
        self.store(place, value);
        self.set_register(SP, width, pointer);
        Ok(())
    }

    /// An address with rSP in it is computed with rSP as it is after the pop (APM 3, POP).
    pub(super) fn pop(&mut self) -> Result<()> {
        let size = self.instruction.size;
        let width = self.stack_width();
        let before = self.machine.gpr(SP);
        // Translated, not read yet: the value is loaded when nothing can fault any more.
        let stack = self.place(Segment::Ss, before & width.mask(), size, Kind::Read)?;
        self.set_register(SP, width, before.wrapping_add(size.bytes()));
        // A fault of the destination has to leave rSP as it was.
        let place = self.operand_place(Kind::Write).inspect_err(|_| self.machine.set_gpr(SP, before));
        let place = place?;
        let value = self.load(stack);
        self.store(place, value);
        Ok(())
    }

    /// How much of rSP counts.
    pub(super) fn stack_width(&mut self) -> Size {
        if self.instruction.mode == Mode::Bits64 {
            return Size::B8;
        }
        let is_big = self.machine.segment(Segment::Ss).attributes & SegmentState::BIG != 0;
        if is_big { Size::B4 } else { Size::B2 }
    }
}
