//! IRET (APM 3). That it ends the time in which no NMI is taken is the VMM's affair; so is a return to
//! another task, a [`Stop::TaskSwitch`](super::Stop).

use super::far::{SP, Target};
use super::frame::CHANGEABLE;
use super::{Abort, Emulation, Outcome, Result, Stop};
use crate::bits::{FLAG_IF, FLAG_IOPL, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VIF, FLAG_VIP, FLAG_VM};
use crate::{Exception, Machine, Mode, Segment, SegmentState, Size, vector};

impl<M: Machine> Emulation<'_, M> {
    pub(super) fn iret(&mut self) -> Result<Outcome> {
        let before = self.machine.rflags();
        if !self.is_protected() {
            return self.return_real(before);
        }
        // NT asks for the task before, of which there is none in long mode.
        if before & FLAG_NT != 0 {
            let is_long = self.is_long();
            let fault = Abort::from(Exception::GENERAL_PROTECTION);
            return Err(if is_long { fault } else { Abort::Stop(Stop::TaskSwitch) });
        }
        let size = self.instruction.size;
        let [offset, selector, flags] = self.peek_stack(size)?;
        let cpl = self.machine.cpl();
        // Only at CPL 0 does IRET take VM from the stack (APM 3, IRET).
        if !self.is_long() && size == Size::B4 && cpl == 0 && flags & FLAG_VM != 0 {
            return self.return_to_virtual(offset, selector as u16, flags);
        }
        // By the privilege level as it is before the return, which changes it.
        let flags = self.returned_flags(before, flags);
        self.check_outer_stack(selector as u16, 3 * size.bytes())?;
        let target = self.return_target(selector as u16, offset)?;
        // 64-bit code always has SS and rSP there.
        if target.cpl() != cpl || self.instruction.mode == Mode::Bits64 {
            self.return_with_stack(target, cpl)?;
        } else {
            self.drop_stack(3 * size.bytes());
            self.enter_code(target)?;
        }
        Ok(self.with_flags(flags, before))
    }

    fn return_with_stack(&mut self, target: Target, cpl: u8) -> Result<()> {
        let [_, _, _, pointer, stack] = self.peek_stack(self.instruction.size)?;
        if target.cpl() != cpl {
            self.leave_to(target, stack as u16, pointer)?;
            return Ok(());
        }
        let mode = self.mode_of(target.state);
        let state =
            self.in_mode(mode, |inner| inner.stack_segment(stack as u16, cpl, vector::GENERAL_PROTECTION))?;
        self.machine.set_segment(Segment::Ss, stack as u16, state);
        self.in_mode(mode, |inner| inner.set_stack_pointer(pointer));
        self.enter_code(target)?;
        Ok(())
    }

    /// The flags last; a step is due if TF was set before.
    fn with_flags(&mut self, flags: u64, before: u64) -> Outcome {
        self.machine.set_rflags(flags);
        Outcome::Done { single_step: before & FLAG_TF != 0 }
    }

    /// What of the flags on the stack counts.
    fn returned_flags(&self, before: u64, popped: u64) -> u64 {
        let cpl = u64::from(self.machine.cpl());
        let iopl = (before & FLAG_IOPL) >> FLAG_IOPL.trailing_zeros();
        let is_virtual = before & FLAG_VM != 0;
        let mut mask = CHANGEABLE | FLAG_RF;
        // Whoever could raise IOPL would have all ports.
        if cpl == 0 && !is_virtual {
            mask |= FLAG_IOPL;
            if self.is_protected() {
                mask |= FLAG_VIF | FLAG_VIP;
            }
        }
        // Of virtual-8086 code IOPL is 3 by here: `return_real` has refused the rest.
        if cpl <= iopl || is_virtual {
            mask |= FLAG_IF;
        }
        let mask = mask & self.instruction.size.mask();
        // RF of an IRET of two bytes: as after every instruction.
        (before & !FLAG_RF) & !mask | popped & mask
    }

    /// In real mode, and in virtual-8086 mode with IOPL 3.
    fn return_real(&mut self, before: u64) -> Result<Outcome> {
        let size = self.instruction.size;
        if before & FLAG_VM != 0 && before & FLAG_IOPL != FLAG_IOPL {
            return Err(Exception::GENERAL_PROTECTION.into());
        }
        let [offset, selector, flags] = self.peek_stack(size)?;
        let flags = self.returned_flags(before, flags);
        self.check_offset(self.instruction.mode, offset)?;
        self.drop_stack(3 * size.bytes());
        self.enter_real(selector as u16, offset)?;
        Ok(self.with_flags(flags, before))
    }

    /// To a virtual-8086 task: all its segments are on the stack.
    fn return_to_virtual(&mut self, offset: u64, selector: u16, flags: u64) -> Result<Outcome> {
        const LIMIT: u64 = 0xffff;
        // All of them are read before anything changes, since any may fault.
        let [_, _, _, pointer, ss, es, ds, fs, gs] = self.peek_stack(Size::B4)?;
        // Virtual-8086 code has segments of 64 KiB, whatever the frame says.
        if offset > LIMIT {
            return Err(Exception::GENERAL_PROTECTION.into());
        }
        let segments = [
            (Segment::Cs, selector),
            (Segment::Ss, ss as u16),
            (Segment::Es, es as u16),
            (Segment::Ds, ds as u16),
            (Segment::Fs, fs as u16),
            (Segment::Gs, gs as u16),
        ];
        for (segment, selector) in segments {
            let state = SegmentState {
                base: u64::from(selector) << 4,
                limit: LIMIT as u32,
                attributes: SegmentState::VIRTUAL,
            };
            self.machine.set_segment(segment, selector, state);
        }
        self.machine.set_cpl(3);
        self.machine.set_gpr(SP, pointer);
        self.machine.set_rip(offset);
        let mask = CHANGEABLE | FLAG_RF | FLAG_IOPL | FLAG_IF | FLAG_VIF | FLAG_VIP | FLAG_VM;
        let before = self.machine.rflags();
        Ok(self.with_flags(before & !mask | flags & mask, before))
    }
}
