//! Far JMP, CALL and RET, and IRET (APM 2, 4.11; APM 3). A far transfer to a task is a
//! [`Stop::TaskSwitch`](super::Stop).

use super::descriptor::{Descriptor, is_null, kind, rpl};
use super::{Abort, Emulation, Outcome, Result, Stop};
use crate::walk::Kind;
use crate::{
    Exception, Instruction, Machine, Mode, Operand, Operation, Segment, SegmentState, Size, SystemSegment,
    Vendor, vector,
};

pub(super) const SP: u8 = 4;

/// Code that control goes to, after every check of it.
#[derive(Clone, Copy)]
pub(super) struct Target {
    /// Its RPL is the privilege level there.
    pub(super) selector: u16,
    pub(super) state: SegmentState,
    pub(super) offset: u64,
}

impl Target {
    pub(super) fn cpl(self) -> u8 {
        rpl(self.selector)
    }
}

/// What is pushed, and how large each element is.
#[derive(Clone, Copy)]
struct Gate {
    size: Size,
    parameters: u8,
}

impl<M: Machine> Emulation<'_, M> {
    pub(super) fn jump_far(&mut self) -> Result<Outcome> {
        let (offset, selector) = self.far_operand()?;
        if !self.is_protected() {
            return self.enter_real(selector, offset);
        }
        let found = self.far_descriptor(selector)?;
        if found.is_segment() {
            let target = self.direct_target(found, offset)?;
            return self.enter_code(target);
        }
        // The offset of the pointer counts for nothing: a gate has its own.
        let (found, offset) = self.gate_target(found)?.0;
        let cpl = self.machine.cpl();
        // A jump never changes the privilege level, through a gate neither: there would be no way back.
        if !found.is_conforming() && found.dpl() != cpl {
            return Err(found.fault(vector::GENERAL_PROTECTION));
        }
        let target = self.code_target(found, cpl, offset)?;
        self.enter_code(target)
    }

    pub(super) fn call_far(&mut self) -> Result<Outcome> {
        let (offset, selector) = self.far_operand()?;
        let size = self.instruction.size;
        if !self.is_protected() {
            // Before the return address is pushed: a fault leaves the stack as it was.
            self.check_offset(self.instruction.mode, offset)?;
            self.push_return(size)?;
            return self.enter_real(selector, offset);
        }
        let found = self.far_descriptor(selector)?;
        if found.is_segment() {
            // All that can refuse the target comes before the push, and the push before CS: where one faults,
            // nothing has changed.
            self.check_direct(found)?;
            self.check_push_first(2)?;
            let target = self.direct_target(found, offset)?;
            self.push_return(size)?;
            return self.enter_code(target);
        }
        let ((found, offset), gate) = self.gate_target(found)?;
        let cpl = self.machine.cpl();
        if found.is_conforming() || found.dpl() == cpl {
            let target = self.code_target(found, cpl, offset)?;
            // On the stack as the target's mode has it, which may be wider than the caller's.
            self.in_mode(self.mode_of(target.state), |inner| inner.push_return(gate.size))?;
            return self.enter_code(target);
        }
        let target = self.code_target(found, found.dpl(), offset)?;
        self.call_inner(target, gate)
    }

    /// The pointer, in memory or in the instruction.
    fn far_operand(&mut self) -> Result<(u64, u16)> {
        if self.instruction.source == Operand::Memory {
            return self.far_pointer();
        }
        let pointer = self.instruction.immediate;
        Ok((pointer & 0xffff_ffff, (pointer >> 32) as u16))
    }

    fn far_descriptor(&mut self, selector: u16) -> Result<Descriptor> {
        if is_null(selector) { Err(Exception::GENERAL_PROTECTION.into()) } else { self.descriptor(selector) }
    }

    /// CS and the address of the next instruction.
    fn push_return(&mut self, size: Size) -> Result<()> {
        let selector = self.machine.selector(Segment::Cs).into();
        let next = self.next_rip();
        self.push_all(&[selector, next & size.mask()], size)
    }

    /// Code at the same privilege level, without a gate.
    fn direct_target(&mut self, found: Descriptor, offset: u64) -> Result<Target> {
        self.check_direct(found)?;
        self.code_target(found, self.machine.cpl(), offset)
    }

    /// Whether that is what a descriptor is for.
    fn check_direct(&mut self, found: Descriptor) -> Result<()> {
        let cpl = self.machine.cpl();
        // Conforming code keeps its caller's level, which may be a lower one; other code runs at its own
        // alone.
        let is_allowed = if found.is_conforming() {
            found.dpl() <= cpl
        } else {
            found.dpl() == cpl && rpl(found.selector) <= cpl
        };
        if !found.is_code() || !is_allowed {
            return Err(found.fault(vector::GENERAL_PROTECTION));
        }
        self.check_code(found)
    }

    /// Whether code is there, and of a kind that there is.
    fn check_code(&self, found: Descriptor) -> Result<()> {
        if !found.is_present() {
            return Err(found.fault(vector::NOT_PRESENT));
        }
        let both = SegmentState::LONG | SegmentState::BIG;
        // Reserved in long mode (APM 2, 4.8.1).
        if self.is_long() && found.attributes() & both == both {
            return Err(found.fault(vector::GENERAL_PROTECTION));
        }
        Ok(())
    }

    /// Code to be run at `cpl`, if it is there and its offset is.
    pub(super) fn code_target(&mut self, found: Descriptor, cpl: u8, offset: u64) -> Result<Target> {
        self.check_code(found)?;
        let mode = self.mode_of(found.state());
        let is_good = if mode == Mode::Bits64 {
            self.machine.paging().is_canonical(offset)
        } else {
            offset & 0xffff_ffff <= found.state().limit.into()
        };
        if !is_good {
            return Err(Exception::GENERAL_PROTECTION.into());
        }
        // After the checks: a selector that is refused leaves no trace in the table.
        let state = self.set_accessed(found)?;
        let offset = offset & mode.linear_mask();
        Ok(Target { selector: found.selector & !3 | u16::from(cpl), state, offset })
    }

    /// How code of this segment is read.
    pub(super) fn mode_of(&self, state: SegmentState) -> Mode {
        Mode::new(self.machine.paging().efer, state.attributes)
    }

    /// What a call gate leads to.
    fn gate_target(&mut self, gate: Descriptor) -> Result<((Descriptor, u64), Gate)> {
        let is_long = self.is_long();
        let size = match gate.kind() {
            // Long mode has no gates of 16 bits, and no tasks.
            kind::CALL_GATE if is_long => Size::B8,
            kind::CALL_GATE => Size::B4,
            kind::CALL_GATE_16 if !is_long => Size::B2,
            kind::TSS | kind::TSS_16 | kind::TASK_GATE if !is_long => return self.switch_task(gate),
            _ => return Err(gate.fault(vector::GENERAL_PROTECTION)),
        };
        // The RPL as well: whoever passes a selector on must not lend its own rights to who gave it.
        if gate.dpl() < self.machine.cpl().max(rpl(gate.selector)) {
            return Err(gate.fault(vector::GENERAL_PROTECTION));
        }
        if !gate.is_present() {
            return Err(gate.fault(vector::NOT_PRESENT));
        }
        let found = self.far_descriptor((gate.low >> 16) as u16)?;
        let wants_long = SegmentState::LONG | SegmentState::BIG;
        // A gate leads to its caller's level or to a more privileged one: to a lesser one goes a return
        // alone.
        let is_code = found.is_code()
            && found.dpl() <= self.machine.cpl()
            && (!is_long || found.attributes() & wants_long == SegmentState::LONG);
        if !is_code {
            return Err(found.fault(vector::GENERAL_PROTECTION));
        }
        // Gates of long mode copy none.
        let parameters = if is_long { 0 } else { (gate.low >> 32 & 31) as u8 };
        Ok(((found, gate_offset(gate, size)), Gate { size, parameters }))
    }

    /// What the processor checks before it switches tasks.
    fn switch_task<T>(&mut self, gate: Descriptor) -> Result<T> {
        if gate.dpl() < self.machine.cpl().max(rpl(gate.selector)) {
            return Err(gate.fault(vector::GENERAL_PROTECTION));
        }
        if !gate.is_present() {
            return Err(gate.fault(vector::NOT_PRESENT));
        }
        Err(Abort::Stop(Stop::TaskSwitch))
    }

    /// A call to a more privileged level: on its own stack, with the parameters from the old one.
    fn call_inner(&mut self, target: Target, gate: Gate) -> Result<Outcome> {
        let size = gate.size;
        let old_stack = (self.machine.selector(Segment::Ss), self.machine.gpr(SP));
        // At most 31 parameters, and SS, rSP, CS and RIP.
        let mut values = [0; 36];
        let count = usize::from(gate.parameters);
        // With the caller's rights, while its stack is still the stack.
        let parameters: [u64; 32] = self.peek_some(size, count)?;
        values[0] = old_stack.0.into();
        values[1] = old_stack.1 & size.mask();
        // The deepest first, so that they lie on the new stack as they do on the old one.
        for (value, parameter) in values.iter_mut().skip(2).zip(parameters.iter().take(count).rev()) {
            *value = *parameter;
        }
        values[count + 2] = self.machine.selector(Segment::Cs).into();
        values[count + 3] = self.next_rip() & size.mask();
        let values = values.get(..count + 4).unwrap_or(&[]);
        // A call gate names no IST.
        let stack = self.inner_stack(target, 0)?;
        self.push_on(stack, target, values, size)?;
        self.enter_code(target)
    }

    /// Up to 32 values of the stack.
    fn peek_some(&mut self, size: Size, count: usize) -> Result<[u64; 32]> {
        let mut values = [0; 32];
        for (value, index) in values.iter_mut().zip(0..).take(count) {
            let place = self.stack_place(size.bytes() * index, size, Kind::Read)?;
            *value = self.load(place);
        }
        Ok(values)
    }

    /// SS and rSP of the TSS for the target's privilege level; `ist` is 1 to 7 where a gate of long mode says
    /// so.
    pub(super) fn inner_stack(&mut self, target: Target, ist: u8) -> Result<(u16, SegmentState, u64)> {
        let cpl = target.cpl();
        let (selector, tss) = self.machine.system_segment(SystemSegment::Tr);
        let is_long = self.is_long();
        let is_wide = is_long || tss.attributes & 0xf == kind::TSS_BUSY;
        // RSP0 is at 4 and IST1 at 24h in a TSS of long mode; of the others, ESP0 is at 4 or SP0 at 2 (APM 2,
        // 12.2).
        let offset = match (is_long, ist) {
            (true, 0) => 4 + 8 * u64::from(cpl),
            (true, ist) => 0x1c + 8 * u64::from(ist),
            _ if is_wide => 4 + 8 * u64::from(cpl),
            _ => 2 + 4 * u64::from(cpl),
        };
        let size = if is_long {
            Size::B8
        } else if is_wide {
            Size::B4
        } else {
            Size::B2
        };
        let bytes = size.bytes() + if is_long { 0 } else { 2 };
        // The TSS is the guest's, and may end before the place that is wanted.
        if offset + bytes - 1 > tss.limit.into() {
            return Err(Exception::of_selector(vector::INVALID_TSS, selector).into());
        }
        let pointer = self.system_read(tss.base.wrapping_add(offset), size)?;
        if is_long {
            // A TSS of long mode has no selectors: SS becomes null (APM 2, 8.9).
            return Ok((cpl.into(), SegmentState::null_stack(cpl), pointer));
        }
        let selector = self.system_read(tss.base.wrapping_add(offset + size.bytes()), Size::B2)? as u16;
        // What is wrong with it is wrong with the TSS: #TS, and not #GP.
        let state = self.stack_segment(selector, cpl, vector::INVALID_TSS)?;
        Ok((selector, state, pointer))
    }

    /// Pushes values on another stack, with the rights of the target, and stays there. If that faults,
    /// everything is as it was.
    pub(super) fn push_on(
        &mut self,
        (selector, state, pointer): (u16, SegmentState, u64),
        target: Target,
        values: &[u64],
        size: Size,
    ) -> Result<()> {
        let old = (self.machine.selector(Segment::Ss), self.machine.segment(Segment::Ss));
        let (old_pointer, old_cpl) = (self.machine.gpr(SP), self.machine.cpl());
        let mode = self.mode_of(target.state);
        self.machine.set_segment(Segment::Ss, selector, state);
        self.machine.set_cpl(target.cpl());
        // The stack's limits and page rights are the target's, and are checked as such.
        let pushed = self.in_mode(mode, |inner| {
            inner.set_stack_pointer(pointer);
            inner.push_all(values, size)
        });
        if pushed.is_err() {
            self.machine.set_segment(Segment::Ss, old.0, old.1);
            self.machine.set_cpl(old_cpl);
            self.machine.set_gpr(SP, old_pointer);
        }
        pushed
    }

    /// Sets as much of rSP as the stack's size says.
    pub(super) fn set_stack_pointer(&mut self, pointer: u64) {
        let width = self.stack_width();
        self.set_register(SP, width, pointer);
    }

    /// The same emulation, as if the instruction were of another mode: its addresses and stack are.
    pub(super) fn in_mode<T>(&mut self, mode: Mode, run: impl FnOnce(&mut Emulation<'_, M>) -> T) -> T {
        let instruction = Instruction { mode, ..*self.instruction };
        run(&mut Emulation { instruction: &instruction, machine: self.machine, pages: [None; 2] })
    }

    /// Goes on in real or virtual-8086 mode, where selectors are bases.
    pub(super) fn enter_real(&mut self, selector: u16, offset: u64) -> Result<Outcome> {
        self.check_offset(self.instruction.mode, offset)?;
        let state = self.real_segment(Segment::Cs, selector);
        self.machine.set_segment(Segment::Cs, selector, state);
        Ok(self.branch(offset))
    }

    /// Whether an offset lies in the code segment as it is.
    pub(super) fn check_offset(&mut self, mode: Mode, offset: u64) -> Result<()> {
        let limit = self.machine.segment(Segment::Cs).limit;
        let is_good = mode == Mode::Bits64 || offset <= limit.into();
        if is_good { Ok(()) } else { Err(Exception::GENERAL_PROTECTION.into()) }
    }

    /// Goes on at a target.
    pub(super) fn enter_code(&mut self, target: Target) -> Result<Outcome> {
        let cpl = target.cpl();
        self.machine.set_segment(Segment::Cs, target.selector, target.state);
        if cpl != self.machine.cpl() {
            self.machine.set_cpl(cpl);
        }
        Ok(self.branch(target.offset))
    }

    pub(super) fn return_far(&mut self) -> Result<Outcome> {
        let size = self.instruction.size;
        // Bytes of parameters that the caller has pushed.
        let released = self.instruction.immediate;
        let [offset, selector] = self.peek_stack(size)?;
        if !self.is_protected() {
            self.check_offset(self.instruction.mode, offset)?;
            self.drop_stack(2 * size.bytes() + released);
            return self.enter_real(selector as u16, offset);
        }
        self.check_outer_stack(selector as u16, 2 * size.bytes() + released)?;
        let target = self.return_target(selector as u16, offset)?;
        if target.cpl() == self.machine.cpl() {
            self.drop_stack(2 * size.bytes() + released);
            return self.enter_code(target);
        }
        // The outer stack's pointer lies behind the parameters.
        let above = 2 * size.bytes() + released;
        let pointer = self.stack_place(above, size, Kind::Read)?;
        let stack = self.stack_place(above.wrapping_add(size.bytes()), size, Kind::Read)?;
        let (pointer, stack) = (self.load(pointer), self.load(stack) as u16);
        // The parameters are on both stacks, and go from both (APM 3, RET Far).
        self.leave_to(target, stack, pointer.wrapping_add(released))
    }

    /// Before AMD's processors look at what a return leads to, they look at the places of the outer stack's
    /// SS and rSP, which lie so many bytes above the top of this one: where another privilege level is asked
    /// for, and in an IRET of 64-bit code always. Intel's check the target first.
    pub(super) fn check_outer_stack(&mut self, selector: u16, above: u64) -> Result<()> {
        let Instruction { vendor, operation, mode, size, .. } = *self.instruction;
        let always = operation == Operation::Iret && mode == Mode::Bits64;
        if vendor == Vendor::Amd && (always || rpl(selector) != self.machine.cpl()) {
            self.stack_place(above.wrapping_add(size.bytes()), size, Kind::Read)?;
            self.stack_place(above, size, Kind::Read)?;
        }
        Ok(())
    }

    /// The code that a far return goes to: at its selector's privilege level, which is not higher.
    pub(super) fn return_target(&mut self, selector: u16, offset: u64) -> Result<Target> {
        let found = self.far_descriptor(selector)?;
        let level = rpl(selector);
        // A return never raises privileges: the selector on the stack may be anybody's.
        let is_allowed = found.is_code()
            && level >= self.machine.cpl()
            && if found.is_conforming() { found.dpl() <= level } else { found.dpl() == level };
        if !is_allowed {
            return Err(found.fault(vector::GENERAL_PROTECTION));
        }
        self.code_target(found, level, offset)
    }

    /// Returns to a less privileged level, on its stack.
    pub(super) fn leave_to(&mut self, target: Target, stack: u16, pointer: u64) -> Result<Outcome> {
        let cpl = target.cpl();
        let mode = self.mode_of(target.state);
        // A null SS goes with 64-bit code, of any level but the lowest.
        let state =
            self.in_mode(mode, |inner| inner.stack_segment(stack, cpl, vector::GENERAL_PROTECTION))?;
        self.machine.set_segment(Segment::Ss, stack, state);
        self.in_mode(mode, |inner| inner.set_stack_pointer(pointer));
        let outcome = self.enter_code(target)?;
        // The outer code must not reach by them what only the inner one might.
        self.drop_privileged_segments(cpl);
        Ok(outcome)
    }
}

/// The offset in a gate's target.
pub(super) fn gate_offset(gate: Descriptor, size: Size) -> u64 {
    let low = gate.low & 0xffff;
    match size {
        Size::B2 => low,
        _ => low | gate.low >> 32 & 0xffff_0000 | gate.high << 32,
    }
}
