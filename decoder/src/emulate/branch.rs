//! Near JMP, CALL and RET.

use super::{Emulation, Outcome, Result};
use crate::bits::{FLAG_RF, FLAG_TF};
use crate::walk::Kind;
use crate::{Exception, Machine, Mode, Operand, Operation, Segment, Size};

impl<M: Machine> Emulation<'_, M> {
    pub(super) fn jump(&mut self) -> Result<Outcome> {
        let target = self.memory_value()?;
        let target = self.near_target(target)?;
        Ok(self.branch(target))
    }

    /// The target is checked before anything is pushed.
    pub(super) fn call(&mut self) -> Result<Outcome> {
        let size = self.instruction.size;
        // Of the instruction as it was fetched, whatever memory holds by now.
        let next = self.next_rip();
        let target = match (self.instruction.operation, self.instruction.source) {
            (Operation::CallRelative, _) => next.wrapping_add(self.instruction.immediate),
            // With rSP as it is before the push, if the address has it.
            (_, Operand::Memory) => self.memory_value()?,
            (_, register) => self.value(register),
        };
        self.check_push_first(1)?;
        let target = self.near_target(target)?;
        self.push_all(&[next & size.mask()], size)?;
        Ok(self.branch(target))
    }

    pub(super) fn ret(&mut self) -> Result<Outcome> {
        let size = self.instruction.size;
        let [target] = self.peek_stack(size)?;
        // Before rSP moves: a fault leaves it as it was.
        let target = self.near_target(target)?;
        self.drop_stack(size.bytes().wrapping_add(self.instruction.immediate));
        Ok(self.branch(target))
    }

    /// The address of the next instruction.
    pub(super) fn next_rip(&self) -> u64 {
        let next = self.machine.rip().wrapping_add(self.instruction.length.into());
        next & self.instruction.mode.linear_mask()
    }

    /// A target, cut to the operand's size, if code may be there (APM 2, 4.12.3).
    fn near_target(&mut self, target: u64) -> Result<u64> {
        let target = target & self.instruction.size.mask();
        let is_good = if self.instruction.mode == Mode::Bits64 {
            self.machine.paging().is_canonical(target)
        } else {
            target <= u64::from(self.machine.segment(Segment::Cs).limit)
        };
        if is_good { Ok(target) } else { Err(Exception::GENERAL_PROTECTION.into()) }
    }

    /// Goes on at `target`, which has been checked.
    pub(super) fn branch(&mut self, target: u64) -> Outcome {
        self.machine.set_rip(target);
        let flags = self.machine.rflags();
        // RF holds for one instruction (APM 2, 3.1.6).
        if flags & FLAG_RF != 0 {
            self.machine.set_rflags(flags & !FLAG_RF);
        }
        Outcome::Done { single_step: flags & FLAG_TF != 0 }
    }

    /// Values on the stack, from its top on, which stay there.
    pub(super) fn peek_stack<const COUNT: usize>(&mut self, size: Size) -> Result<[u64; COUNT]> {
        let mut places = [None; COUNT];
        for (place, index) in places.iter_mut().zip(0..) {
            // All places before the first load, as a device's answer can't be given back.
            *place = Some(self.stack_place(size.bytes().wrapping_mul(index), size, Kind::Read)?);
        }
        Ok(places.map(|place| place.map_or(0, |place| self.load(place))))
    }
}
